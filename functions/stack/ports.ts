import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { readJson, type StateDirectory, writeJson } from './state.ts';

export interface Ports {
  edge: number;
  postgrest: number;
  postgres: number;
}

const DEFAULT_PORTS: Ports = { edge: 8080, postgrest: 3000, postgres: 54320 };

/** Keeps the ports of the last start where they are free, else the defaults, else any free one. */
export async function choosePorts(state: StateDirectory): Promise<Ports> {
  const remembered = readJson<Partial<Ports>>(state.ports) ?? {};
  const taken = new Set<number>();
  const choose = async (name: keyof Ports): Promise<number> => {
    for (const port of [remembered[name], DEFAULT_PORTS[name]]) {
      if (port !== undefined && !taken.has(port) && (await isFree(port))) {
        taken.add(port);
        return port;
      }
    }
    const port = await freePort();
    taken.add(port);
    return port;
  };
  const ports = {
    edge: await choose('edge'),
    postgrest: await choose('postgrest'),
    postgres: await choose('postgres'),
  };
  writeJson(state.ports, ports);
  return ports;
}

/** Below where systems take the ports of outgoing connections from: one of those cannot slip in between this look and its use. */
const RANGE = { from: 10_240, to: 32_767 };

/** A port of 127.0.0.1 that was free a moment ago; at random, so that stacks that start together do not take the same. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = randomInt(RANGE.from, RANGE.to + 1);
    if (await isFree(port)) return port;
  }
  throw new Error('no free port on 127.0.0.1');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
