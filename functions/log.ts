import pino, { type LevelWithSilent, type Logger } from 'pino';

/** Keys whose values never reach a log, wherever they appear up to three levels deep. */
const SECRET_KEYS = ['authorization', 'token', 'password', 'secret', 'signature', 'cookie'];

/** A pino logger that writes JSON lines to standard output, with secrets removed. */
export function createLog(name: string, level: LevelWithSilent): Logger {
  const options = {
    name,
    level,
    redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '[redacted]' },
  };
  // Synchronous: when the reader of the pipe is gone, an asynchronous destination repeats its last write for ever at
  // exit (sonic-boom 4, flushSync on EPIPE), and the process outlives the stack.
  return pino(options, pino.destination({ dest: 1, sync: true }));
}

export type { LevelWithSilent, Logger };
