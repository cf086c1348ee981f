import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { resolveBinary } from 'dbmate';
import { programEnvironment } from '../environment.ts';
import { RowhouseError } from '../errors.ts';
import { packageRoot } from '../paths.ts';

/** Where dbmate keeps the versions; named with its schema, since migrations run with an empty search_path. */
export const TABLE = 'public.schema_migrations';

/** lib/pq wants TLS unless told otherwise; `pg`, which all the rest uses, does not. */
function forDbmate(databaseUrl: string): string {
  const url = new URL(databaseUrl);
  const mode = url.searchParams.get('sslmode');
  if (!mode) url.searchParams.set('sslmode', 'disable');
  else if (mode === 'no-verify') url.searchParams.set('sslmode', 'require');
  return url.href;
}

export interface DbmateRun {
  status: number | null;
  stderr: string;
}

/** The URL goes through the environment: arguments can be read by every user of the machine. */
export async function runDbmate(
  databaseUrl: string,
  dir: string,
  args: string[],
  onLine: (line: string) => void,
): Promise<DbmateRun> {
  const flags = [
    '--no-dump-schema',
    '--migrations-dir',
    resolve(dir),
    '--migrations-table',
    TABLE,
    '--env',
    'DATABASE_URL',
  ];
  const child = spawn(resolveBinary(), [...flags, ...args], {
    cwd: packageRoot,
    env: programEnvironment({ DATABASE_URL: forDbmate(databaseUrl) }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  let rest = '';
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
  return new Promise((settle, fail) => {
    child.on('error', fail);
    child.on('close', (status) => settle({ status, stderr }));
  });
}

/** dbmate counts lines from the start of the half; the message is PostgreSQL's own. */
export function failure(file: string, stderr: string, firstLine: number): RowhouseError {
  const text = stderr.replace(/^Error:\s*/m, '').trim();
  const [, line, , message] = /^line: (\d+), column: (\d+), position: \d+: (?:pq: )?([\s\S]*)$/.exec(text) ?? [];
  const where = line ? `${file}:${Number(line) + firstLine - 1}` : file;
  return new RowhouseError('migration_failed', {
    detail: `${where}: ${(message ?? text).replace(/^pq: /, '').replace(/ at position \d+:\d+/, '')}`,
    hint: 'The file was rolled back; those before it stay. Correct it and run the command again.',
  });
}
