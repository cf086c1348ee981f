import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readConfig, stackSchema } from '../functions/config.ts';
import { findPostgres, findPostgrest } from '../functions/stack/binaries.ts';
import { round } from './statistics.ts';

/** Where figures were measured: they mean nothing without it. */
export interface Machine {
  cpu: string;
  cores: number;
  memoryGb: number;
  system: string;
  /** Of all cores, in the second before the run: what else the machine did. The load average would be the last question's. */
  busyBefore: number;
}

export async function machine(): Promise<Machine> {
  const [first] = cpus();
  return {
    cpu: first?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release().split('.').slice(0, 2).join('.')}`,
    busyBefore: await busyFor(1000),
  };
}

async function busyFor(milliseconds: number): Promise<number> {
  const read = () => {
    const times = cpus().map((core) => core.times);
    const idle = times.reduce((sum, core) => sum + core.idle, 0);
    return {
      idle,
      all: times.reduce((sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq, 0),
    };
  };
  const before = read();
  await delay(milliseconds);
  const after = read();
  return round(1 - (after.idle - before.idle) / (after.all - before.all), 2);
}

/** Of everything that takes part, by name. */
export function versions(): Record<string, string> {
  const said = (program: string) => /\d+(\.\d+)+/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[0];
  const { version = '?', dependencies, devDependencies } = manifest('../package.json');
  return {
    Rowhouse: version,
    PostgreSQL: said(findPostgres().postgres) ?? '?',
    PostgREST: said(findPostgrest(readConfig(stackSchema).POSTGREST_BIN)) ?? '?',
    'Node.js': process.versions.node,
    'pg-boss': dependencies?.['pg-boss'] ?? '?',
    'graphile-worker': devDependencies?.['graphile-worker'] ?? '?',
    ...manifest('peers/package.json').dependencies,
  };
}

interface Manifest {
  version?: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

function manifest(path: string): Manifest {
  const file = fileURLToPath(new URL(path, import.meta.url));
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
}
