import pino, { type Logger } from 'pino';
import { type Child, type ChildSpec, createChild } from './child.ts';
import { type ChildLog, openChildLog, type Rate, rateNode, ratePostgres, ratePostgrest } from './logs.ts';
import type { ProcessIdentity } from './processes.ts';
import { type StateDirectory, writeJson } from './state.ts';

/** The children of one stack, in the order in which they were started. */
export interface Children {
  log: Logger;
  start(spec: ChildSpec): Promise<void>;
  /** Stops them in reverse order; `force` kills all of them at once. No child can be started after it. */
  stop(force?: boolean): Promise<void>;
}

const RATES: Record<string, Rate> = {
  postgres: ratePostgres,
  postgrest: ratePostgrest,
  'postgrest-second': ratePostgrest,
};

/** @param mirror gets every log line of every child, as JSON */
export function createChildren(state: StateDirectory, mirror: (json: string) => void): Children {
  const own = openChildLog(state.logs, 'supervisor', rateNode, mirror);
  const log = pino(
    { name: 'supervisor', base: { name: 'supervisor' } },
    { write: (line) => own.write(line.trimEnd()) },
  );
  const children: Child[] = [];
  const logs: ChildLog[] = [own];
  const processes: Record<string, ProcessIdentity> = {};
  let stopping = false;

  return {
    log,
    async start(spec) {
      if (stopping) return;
      const childLog = openChildLog(state.logs, spec.name, RATES[spec.name] ?? rateNode, mirror);
      logs.push(childLog);
      const child = createChild(spec, {
        log,
        restart: true,
        onLine: childLog.write,
        onSpawn(identity) {
          processes[spec.name] = identity;
          writeJson(state.processes, processes);
        },
      });
      children.push(child);
      await child.start();
      log.info({ child: spec.name, pid: child.pid() }, `${spec.name} is ready`);
    },
    async stop(force = false) {
      stopping = true;
      if (force) await Promise.all(children.map((child) => child.stop(true)));
      for (const child of children.toReversed()) {
        await child.stop();
        log.info({ child: child.name }, `${child.name} stopped`);
      }
      for (const childLog of logs.splice(0)) childLog.close();
    },
  };
}
