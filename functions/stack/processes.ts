import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { until } from './until.ts';

/** A process that cannot be mistaken: pids are reused, a pid with its start time is not. */
export interface ProcessIdentity {
  pid: number;
  startedAt: string;
}

/** Signals to send in turn, each with the milliseconds to wait before the next. */
export type StopSequence = readonly (readonly [signal: NodeJS.Signals, graceMs: number])[];

/** The identity of a live process; undefined when there is none, or only a zombie. */
export function identify(pid: number): ProcessIdentity | undefined {
  if (process.platform !== 'linux') {
    try {
      const startedAt = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
      return startedAt === '' ? undefined : { pid, startedAt };
    } catch {
      return undefined;
    }
  }
  try {
    // proc_pid_stat(5): the command's name, in parentheses, may hold spaces; state is field 3, start time field 22.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, startedAt] = [fields[0], fields[19]];
    return startedAt === undefined || state === 'Z' || state === 'X' ? undefined : { pid, startedAt };
  } catch {
    return undefined;
  }
}

export function isAlive({ pid, startedAt }: ProcessIdentity): boolean {
  return identify(pid)?.startedAt === startedAt;
}

/** Sends the signals in turn until the process is gone. Returns whether it is. */
export async function stopProcess(identity: ProcessIdentity, sequence: StopSequence): Promise<boolean> {
  for (const [signal, graceMs] of sequence) {
    if (!isAlive(identity)) return true;
    try {
      process.kill(identity.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EPERM') return false;
    }
    if (await until(() => !isAlive(identity), { timeoutMs: graceMs })) return true;
  }
  return !isAlive(identity);
}

/** The live processes whose working directory is this one: PostgreSQL's and each of its backends' is the data directory. */
export function processesIn(directory: string): ProcessIdentity[] {
  if (process.platform !== 'linux') return [];
  const found: ProcessIdentity[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (readlinkSync(`/proc/${name}/cwd`) !== directory) continue;
    } catch {
      continue;
    }
    const identity = identify(Number(name));
    if (identity) found.push(identity);
  }
  return found;
}
