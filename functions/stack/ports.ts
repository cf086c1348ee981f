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

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const port = await listenOnce(0);
  if (port === undefined) throw new Error('no free port on 127.0.0.1');
  return port;
}

async function isFree(port: number): Promise<boolean> {
  return (await listenOnce(port)) !== undefined;
}

function listenOnce(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const address = server.address();
      const bound = typeof address === 'object' && address !== null ? address.port : undefined;
      server.close(() => resolve(bound));
    });
  });
}
