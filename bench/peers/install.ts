import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { programEnvironment } from '../../functions/environment.ts';

const DIRECTORY = import.meta.dirname;
const STAMP = join(DIRECTORY, 'node_modules', '.installed');
const TIMEOUT_MS = 5 * 60_000;

/**
 * `npm ci` of package-lock.json beside this file, and Prisma's client made from its schema: once, and again when one of them changes.
 * @returns why the packages are not there, when they are not: no network, most of the time
 */
export async function installPeers(progress: (message: string) => void): Promise<string | undefined> {
  const wanted = createHash('sha256');
  for (const file of ['package-lock.json', 'prisma/schema.prisma']) wanted.update(readFileSync(join(DIRECTORY, file)));
  const stamp = wanted.digest('hex');
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === stamp) return undefined;
  try {
    progress("installing the peers' packages into bench/peers/node_modules: 600 MB, once");
    // Their install scripts fetch engines that nothing here uses.
    await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--fetch-retries=1'], progress);
    // The generator needs no engine, but the command line insists on having one: any program will do.
    const environment = { PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' };
    await run(process.execPath, ['node_modules/prisma/build/index.js', 'generate'], progress, environment);
    writeFileSync(STAMP, stamp);
    return undefined;
  } catch (error) {
    return `PostGraphile and Prisma could not be installed: ${(error as Error).message}`;
  }
}

/** @throws Error with the last of what the program wrote, unless it ends well and in time */
async function run(program: string, args: readonly string[], progress: (message: string) => void, environment = {}) {
  const began = performance.now();
  const child = spawn(program, args, {
    cwd: DIRECTORY,
    env: programEnvironment(environment),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
  });
  let written = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (written += chunk));
  const name = `${program === process.execPath ? 'prisma' : program} ${args[program === process.execPath ? 1 : 0]}`;
  const ticking = setInterval(() => progress(`${name}: ${Math.round((performance.now() - began) / 1000)} s`), 5000);
  try {
    const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
    if (code !== 0) throw new Error(`${name} ended with ${code ?? 'no answer in time'}: ${reasonIn(written)}`);
  } finally {
    clearInterval(ticking);
  }
}

/** npm begins with what went wrong; a stack trace and advice follow. */
function reasonIn(written: string): string {
  const errors = written.split('\n').filter((line) => /error/i.test(line));
  return (errors.length > 0 ? errors.slice(0, 3) : [written]).join(' ').trim().slice(0, 300);
}
