import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What the process in receiver-main.ts is asked, and what it says. */
export type Ask = { ask: 'expect'; path: string; count: number } | { ask: 'take'; path: string };
export type Said =
  | { said: 'listening'; port: number }
  | { said: 'reached'; path: string; at: number }
  | { said: 'taken'; path: string; arrivals: [subject: string, at: number][]; count: number };

export interface Receiver {
  pid: number;
  url(path: string): string;
  origin: string;
  /** Resolves with the moment (ms since 1970) in which so many different events have come to a path. */
  expect(path: string, count: number, timeoutMs?: number): Promise<number>;
  /** When each row's event first came to a path; forgets what came. Under `/timed` only. */
  take(path: string): Promise<Map<string, number>>;
  close(): Promise<void>;
}

/** A receiver of webhooks in a process of its own. */
export async function openReceiver(): Promise<Receiver> {
  const child = fork(fileURLToPath(new URL('receiver-main.ts', import.meta.url)), { execArgv: [] });
  const said = async <S extends Said['said']>(what: S, path?: string, timeoutMs = 300_000) => {
    const signal = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const [message] = (await once(child, 'message', { signal })) as [Said];
      const isIt = message.said === what && (message.said === 'listening' || message.path === path);
      if (isIt) return message as Extract<Said, { said: S }>;
    }
  };
  const { port } = await said('listening');
  const send = (ask: Ask) => child.send(ask);
  const origin = `http://127.0.0.1:${port}`;
  return {
    pid: child.pid as number,
    origin,
    url: (path) => `${origin}${path}`,
    async expect(path, count, timeoutMs) {
      const reached = said('reached', path, timeoutMs);
      send({ ask: 'expect', path, count });
      return (await reached).at;
    },
    async take(path) {
      const taken = said('taken', path);
      send({ ask: 'take', path });
      return new Map((await taken).arrivals);
    },
    async close() {
      if (child.exitCode !== null) return;
      const exited = once(child, 'exit');
      child.kill();
      await exited;
    },
  };
}
