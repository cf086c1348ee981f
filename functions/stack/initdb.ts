import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { programEnvironment } from '../environment.ts';
import { RowhouseError } from '../errors.ts';
import { giveTo, postgresAccount } from './account.ts';
import { CONFIGURATION, type PostgresOptions } from './postgres.ts';

/**
 * Makes the data directory unless it exists. An initdb that is cut short leaves nothing that looks complete.
 * @param extraArguments of initdb
 * @throws RowhouseError stack_failed when initdb fails or another major version made what is there
 */
export async function initialiseCluster(options: PostgresOptions, extraArguments: string[] = []): Promise<void> {
  const { binaries, dataDirectory } = options;
  const parent = path.dirname(dataDirectory);
  const unfinished = `${path.basename(dataDirectory)}.new-`;
  for (const name of readdirSync(parent)) {
    if (name.startsWith(unfinished)) rmSync(path.join(parent, name), { recursive: true, force: true });
  }
  if (existsSync(dataDirectory)) return refuseOtherMajor(options);

  const account = postgresAccount(dataDirectory);
  const draft = path.join(parent, `${unfinished}${process.pid}`);
  const passwordFile = path.join(options.runDirectory, 'initdb-password');
  mkdirSync(draft, { mode: 0o700 });
  mkdirSync(options.runDirectory, { recursive: true, mode: 0o700 });
  writeFileSync(passwordFile, `${options.superuserPassword}\n`, { mode: 0o600 });
  giveTo(account, draft, passwordFile, options.runDirectory);
  // Another account has to pass through the state directory; it still cannot list or read what is in it.
  if (account.ids) chmodSync(parent, 0o711);
  const initdb = [
    ...account.prefix,
    binaries.initdb,
    ...['--pgdata', draft, '--username', 'postgres', '--pwfile', passwordFile, '--auth', 'scram-sha-256'],
    ...['--encoding', 'UTF8', '--locale', 'C', '--locale-provider', 'builtin', '--builtin-locale', 'C.UTF-8'],
    ...extraArguments,
  ];
  try {
    await run(initdb, account.ids);
    const configuration = path.join(draft, 'postgresql.conf');
    writeFileSync(configuration, `\ninclude_if_exists = '${CONFIGURATION}'\n`, { flag: 'a' });
    renameSync(draft, dataDirectory);
  } finally {
    rmSync(passwordFile, { force: true });
    rmSync(draft, { recursive: true, force: true });
  }
}

function refuseOtherMajor({ dataDirectory }: PostgresOptions): void {
  const version = readFileSync(path.join(dataDirectory, 'PG_VERSION'), 'utf8').trim();
  if (version === '18') return;
  throw new RowhouseError('stack_failed', {
    detail: `${dataDirectory} was made by PostgreSQL ${version}; this stack runs 18.`,
    hint: 'Dump it with its own version and load it here, or begin anew with --fresh, which removes the data.',
  });
}

function run(command: readonly string[], ids: { uid: number; gid: number } | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const [file = '', ...args] = command;
    const child = spawn(file, args, { ...ids, env: programEnvironment(), stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) return resolve();
      reject(
        new RowhouseError('stack_failed', {
          detail: `initdb failed: ${stderr.trim()}`,
          hint: 'If it cannot reach the directory, name one with --state-dir that other accounts may enter, such as under /var/tmp.',
        }),
      );
    });
  });
}
