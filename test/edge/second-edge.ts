import pino from 'pino';
import { createChild } from '../../functions/stack/child.ts';
import { edgeChild } from '../../functions/stack/node-child.ts';
import { freePort } from '../../functions/stack/ports.ts';
import type { TestStack } from '../support/stack.ts';

export interface SecondEdge {
  url: string;
  /** What it has logged. */
  lines: readonly string[];
  pid(): number;
  stop(): Promise<void>;
}

/** Another edge in front of the stack's PostgREST and database. Stop it before the stack. */
export async function startEdge(
  stack: Pick<TestStack, 'storageDirectory' | 'storageSecret' | 'postgrest' | 'database'>,
  env: Record<string, string> = {},
): Promise<SecondEdge> {
  const port = await freePort();
  const lines: string[] = [];
  const { storageDirectory, storageSecret, postgrest: postgrestUrl, database } = stack;
  const spec = edgeChild({ port, databaseUrl: database.edge, postgrestUrl, storageDirectory, storageSecret });
  const child = createChild(
    { ...spec, env: { ...spec.env, ...env } },
    { log: pino({ level: 'silent' }), restart: false, onLine: (line) => lines.push(line) },
  );
  await child.start();
  return { url: `http://127.0.0.1:${port}`, lines, pid: () => child.pid() ?? 0, stop: () => child.stop() };
}
