import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { type Connection, connect, encode } from '../load/connection.ts';
import type { LoadRequest } from '../load.ts';

interface ReaderOptions {
  origin: string;
  requests: readonly LoadRequest[];
}

/** One request: when it was sent, by the machine's clock, and how long it waited. */
type Wait = [sentAt: number, ms: number];

export interface Reader {
  /** @returns the longest wait of a request that was on its way between two times */
  stop(from: number, to: number): Promise<number>;
}

const CONNECTIONS = 4;

export const clock = () => performance.timeOrigin + performance.now();

/** Asks for one after the other of the list, from a thread of its own; resolves once it has been answered. */
export async function startReader({ origin, requests }: ReaderOptions): Promise<Reader> {
  const thread = new Worker(new URL(import.meta.url), { workerData: { origin, requests }, execArgv: [] });
  // A reader may fail while nobody listens: between its start and its end.
  const failed = once(thread, 'error').then(([error]) => Promise.reject(error));
  failed.catch(() => {});
  await Promise.race([once(thread, 'message'), failed]);
  return {
    async stop(from, to) {
      const last = once(thread, 'message');
      thread.postMessage('stop');
      const [waits] = (await Promise.race([last, failed])) as [Wait[]];
      await thread.terminate();
      return Math.max(...waits.filter(([sentAt, ms]) => sentAt + ms >= from && sentAt <= to).map(([, ms]) => ms));
    },
  };
}

async function read({ origin, requests }: ReaderOptions): Promise<void> {
  const url = new URL(origin);
  const encoded = requests.map((request) => encode(url, request));
  const open = await Promise.all(Array.from({ length: CONNECTIONS }, () => connect(url)));
  const waits: Wait[] = [];
  let next = 0;
  let stopped = false;
  parentPort?.once('message', () => {
    stopped = true;
  });
  const ask = async (connection: Connection) => {
    while (!stopped) {
      const sentAt = clock();
      const { status, text } = await connection.send(encoded[next++ % encoded.length] as Buffer);
      if (status !== 200) throw new Error(`a reader was answered ${status}: ${text()}`);
      waits.push([sentAt, clock() - sentAt]);
      if (waits.length === 100) parentPort?.postMessage('reading');
    }
    connection.close();
  };
  await Promise.all(open.map(ask));
  parentPort?.postMessage(waits);
}

if (!isMainThread) await read(workerData as ReaderOptions);
