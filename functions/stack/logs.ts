import { mkdirSync, renameSync, statSync } from 'node:fs';
import path from 'node:path';
import pino, { type Logger } from 'pino';

const ROTATE_BYTES = 10 * 1024 ** 2;

/** How a program that logs plain text rates a line of its own. */
export type Rate = (line: string) => { level: 'info' | 'warn' | 'error' | 'fatal'; fields?: Record<string, unknown> };

export interface ChildLog {
  /** Takes a line as the child printed it: pino JSON is kept, plain text is wrapped. */
  write: (line: string) => void;
  close: () => void;
}

/**
 * The log file of one child; one of more than 10 MB is set aside as `.1` at start.
 * @param mirror gets every line, as JSON
 */
export function openChildLog(directory: string, name: string, rate: Rate, mirror: (json: string) => void): ChildLog {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = path.join(directory, `${name}.log`);
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > ROTATE_BYTES) renameSync(file, `${file}.1`);
  const destination = pino.destination({ dest: file, append: true, mode: 0o600, sync: true });
  let closed = false;
  const emit = (json: string) => {
    if (closed) return;
    destination.write(json);
    mirror(json);
  };
  const wrap = pino({ name, base: { name }, messageKey: 'msg' }, { write: emit });
  return {
    write(line) {
      if (isPino(line)) return emit(`${line}\n`);
      if (line.trim() === '') return;
      const { level, fields } = rate(line);
      wrap[level](fields ?? {}, line);
    },
    close() {
      closed = true;
      destination.end();
    },
  };
}

function isPino(line: string): boolean {
  if (!line.startsWith('{')) return false;
  // As pino begins and ends each. Reading and parsing a line took 36 µs, a quarter of what the edge takes for the request it tells of.
  if (/^\{"level":\d\d,"time":\d/.test(line) && line.endsWith('"}')) return true;
  try {
    const { level, time } = JSON.parse(line) as { level?: unknown; time?: unknown };
    return typeof level === 'number' && time !== undefined;
  } catch {
    return false;
  }
}

/** A node process that printed something else than a log line is in trouble. */
export const rateNode: Rate = () => ({ level: 'error' });

/** Said to whoever asks before it can answer: the stack itself does, until it is up. */
const TOO_EARLY = /\sFATAL: {2}the database system is (?:starting up|not yet accepting connections|in recovery mode)$/;

/**
 * PostgreSQL's severities as pino levels. Its ERROR is a statement refused, which the client was told: nothing is wrong
 * with the server, so it is kept with its severity but at level info. FATAL ends one session, PANIC the server.
 */
export const ratePostgres: Rate = (line) => {
  const severity = /\s(LOG|WARNING|ERROR|FATAL|PANIC): {2}/.exec(line)?.[1];
  const fields = severity ? { severity } : {};
  if (severity === 'PANIC') return { level: 'fatal', fields };
  if (TOO_EARLY.test(line)) return { level: 'info', fields };
  if (severity === 'WARNING' || severity === 'FATAL') return { level: 'warn', fields };
  return { level: 'info', fields };
};

export const ratePostgrest: Rate = (line) => ({ level: /\b(error|fatal|failed)\b/i.test(line) ? 'warn' : 'info' });

export type { Logger };
