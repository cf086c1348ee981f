import { join } from 'node:path';
import pino from 'pino';
import { readConfig, stackSchema } from '../../../functions/config.ts';
import { programEnvironment } from '../../../functions/environment.ts';
import { diesWithParent } from '../../../functions/stack/account.ts';
import { findPostgrest } from '../../../functions/stack/binaries.ts';
import { createChild } from '../../../functions/stack/child.ts';
import { freePort } from '../../../functions/stack/ports.ts';
import { writePrivate } from '../../../functions/stack/state.ts';
import { untilOk } from '../../../functions/stack/until.ts';
import type { Peer } from './peer.ts';

export interface PostgrestPeer {
  name: string;
  databaseUrl: string;
  schemas: readonly string[];
  anonRole: string;
  /** A JWKS. */
  keys: string;
  /** Lines besides; PostgREST's defaults where there are none. */
  settings?: Record<string, string | number>;
  env?: Record<string, string>;
}

/** The stack's PostgREST binary with another configuration: nothing but what it cannot start without, unless asked for. */
export async function openPostgrest(directory: string, peer: PostgrestPeer): Promise<Peer> {
  const port = await freePort();
  const adminPort = await freePort();
  const configuration = join(directory, `${peer.name}.conf`);
  const settings = {
    'db-uri': peer.databaseUrl,
    'db-schemas': peer.schemas.join(','),
    'db-anon-role': peer.anonRole,
    'jwt-secret': peer.keys,
    'server-host': '127.0.0.1',
    'server-port': port,
    'admin-server-port': adminPort,
    ...peer.settings,
  };
  writePrivate(
    configuration,
    Object.entries(settings)
      .map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`)
      .join(''),
  );
  const child = createChild(
    {
      name: peer.name,
      command: [...diesWithParent('TERM'), findPostgrest(readConfig(stackSchema).POSTGREST_BIN), configuration],
      env: programEnvironment(peer.env),
      isReady: () => untilOk(`http://127.0.0.1:${adminPort}/ready`, { timeoutMs: 0 }),
      stopSequence: [
        ['SIGTERM', 5000],
        ['SIGKILL', 5000],
      ],
    },
    { log: pino({ level: 'silent' }), onLine: () => {}, restart: false },
  );
  await child.start();
  return { origin: `http://127.0.0.1:${port}`, pid: child.pid() as number, close: () => child.stop() };
}
