import pino, { type Logger } from 'pino';

/** Keys whose values never reach a log, wherever they appear up to three levels deep. */
const SECRET_KEYS = ['authorization', 'token', 'password', 'secret', 'signature', 'cookie'];

/** A pino logger that writes JSON lines to standard output, with secrets removed. */
export function createLog(name: string, level = process.env.LOG_LEVEL ?? 'info'): Logger {
  return pino({
    name,
    level,
    redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '[redacted]' },
  });
}

export type { Logger };
