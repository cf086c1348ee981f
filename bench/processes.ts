import { readdirSync, readFileSync } from 'node:fs';
import { round } from './statistics.ts';

/** USER_HZ, which proc_pid_stat(5) counts in: 100 on every Linux that Node runs on. */
const TICK_MICROS = 10_000;

/** kB of /proc/PID/status, summed over a process and its descendants. */
export interface Memory {
  /** Its own: heaps, stacks. What PostgreSQL's backends share with the postmaster since they forked counts for each. */
  anonymousMb: number;
  /** Programs and libraries, in part shared with others who run the same. */
  fileMb: number;
  /** Shared memory that it has touched: of PostgreSQL the buffers. The most that any one process of the tree has. */
  sharedMb: number;
  /** Both of the first, each page divided among the processes that have it; 0 where the kernel does not tell. */
  proportionalMb: number;
}

export interface Watch {
  /** @param requests that were answered meanwhile */
  stop(requests: number): { cpuMicrosPerRequest: Record<string, number>; rssMb: Record<string, number> };
}

/**
 * CPU of processes and their descendants until `stop`, memory at `stop`. Linux only: both are empty elsewhere. PostgreSQL's memory is
 * given without its shared buffers, which have a name of their own: `postgres shared`.
 * @param pids by name; a descendant that is named itself counts there alone
 */
export function watchProcesses(pids: Record<string, number>): Watch {
  if (process.platform !== 'linux') return { stop: () => ({ cpuMicrosPerRequest: {}, rssMb: {} }) };
  const before = cpuOf(pids);
  return {
    stop(requests) {
      const cpuMicrosPerRequest: Record<string, number> = {};
      for (const [name, ticks] of Object.entries(cpuOf(pids))) {
        cpuMicrosPerRequest[name] = round(((ticks - (before[name] ?? 0)) * TICK_MICROS) / requests, 1);
      }
      const rssMb: Record<string, number> = {};
      for (const [name, memory] of Object.entries(memoryOf(pids))) {
        const shared = memory.sharedMb > 1;
        rssMb[name] = round(memory.anonymousMb + (shared ? 0 : memory.fileMb), 1);
        if (shared) rssMb[`${name} shared`] = round(memory.sharedMb, 1);
      }
      return { cpuMicrosPerRequest, rssMb };
    },
  };
}

/**
 * Ticks since the start of each tree. Those of children that have ended and were waited for are in their parent's cutime and cstime,
 * so backends that come and go in between are counted, too.
 */
function cpuOf(pids: Record<string, number>): Record<string, number> {
  const table = readProcesses();
  const sums = Object.entries(pids).map(([name, pid]) => {
    const tree = treeOf(table, pid, pids);
    return [name, tree.reduce((sum, member) => sum + (table.get(member)?.ticks ?? 0), 0)] as const;
  });
  return Object.fromEntries(sums);
}

const mbOf = (text: string, field: string) =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1024;

/** Memory of each tree now. @param proportional reads every page table, which takes milliseconds of the processes' time */
export function memoryOf(pids: Record<string, number>, proportional = false): Record<string, Memory> {
  const table = readProcesses();
  const memory: Record<string, Memory> = {};
  for (const [name, pid] of Object.entries(pids)) {
    const sum = { anonymousMb: 0, fileMb: 0, sharedMb: 0, proportionalMb: 0 };
    for (const member of treeOf(table, pid, pids)) {
      const status = read(`/proc/${member}/status`);
      sum.anonymousMb += mbOf(status, 'RssAnon');
      sum.fileMb += mbOf(status, 'RssFile');
      sum.sharedMb = Math.max(sum.sharedMb, mbOf(status, 'RssShmem'));
      const rollup = proportional ? read(`/proc/${member}/smaps_rollup`) : '';
      sum.proportionalMb += mbOf(rollup, 'Pss_Anon') + mbOf(rollup, 'Pss_File');
    }
    memory[name] = sum;
  }
  return memory;
}

type Processes = Map<number, { parent: number; ticks: number }>;

function readProcesses(): Processes {
  const table: Processes = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = read(`/proc/${name}/stat`);
    // The command's name, in parentheses, may hold spaces: field 3 is the first after it.
    const fields = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const [, parent = 0] = fields;
    const ticks = fields.slice(11, 15).reduce((sum, value) => sum + value, 0);
    if (stat !== '') table.set(Number(name), { parent, ticks });
  }
  return table;
}

function treeOf(table: Processes, root: number, named: Record<string, number>): number[] {
  const others = new Set(Object.values(named));
  const tree = [root];
  for (const member of tree) {
    for (const [pid, { parent }] of table) if (parent === member && !others.has(pid)) tree.push(pid);
  }
  return tree;
}

/** Empty where the process is gone. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
