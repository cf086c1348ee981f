import { randomBytes } from 'node:crypto';
import { vi } from 'vitest';
import { prove } from '../../functions/prove/run.ts';
import type { Finding, ProveOptions, ProveReport } from '../../functions/prove/types.ts';
import type { TestStack } from '../support/stack.ts';

/** Proves a test stack through PostgREST; on request through its logins' own sessions as well, or everything with its edge. */
export function proveStack(
  stack: TestStack,
  options: ProveOptions = {},
  beside: 'nothing' | 'sessions' | 'everything' = 'nothing',
): Promise<ProveReport> {
  const { migrator, authenticator, worker, edge } = stack.database;
  const target = {
    database: migrator,
    postgrest: stack.postgrest,
    ...(beside === 'everything' ? { edge: stack.edge } : {}),
    ...(beside === 'nothing' ? {} : { sessions: [authenticator, worker, edge] }),
  };
  return prove(target, { seed: 7, ...options });
}

/** What has to be seen of a finding in a failed assertion. */
export const brief = (findings: readonly Finding[]) =>
  findings.slice(0, 12).map(({ kind, at, detail }) => `${kind}: ${at}: ${detail.slice(0, 300)}`);

/** Plants a flaw, has it proved, and takes it out again. `by`: what only a superuser can do wrong is done by one. */
export async function withFlaw(
  stack: TestStack,
  { plant, uproot, by = 'migrator' }: { plant: string; uproot: string; by?: 'migrator' | 'admin' },
  options: ProveOptions,
  beside?: 'sessions',
): Promise<ProveReport> {
  const marker = `planted_${randomBytes(6).toString('hex')}`;
  await stack[by].query(plant);
  try {
    await stack.migrator.query(`
      create function v1.${marker}() returns integer language sql return 1; grant execute on function v1.${marker}() to tenant_user;
      notify pgrst, 'reload schema'`);
    // A reload that was under way when the flaw was planted does not know it yet.
    await vi.waitUntil(async () => (await fetch(`${stack.postgrest}/rpc/${marker}`)).status === 401, {
      timeout: 20_000,
    });
    await stack.migrator.query(`drop function v1.${marker}()`);
    return await proveStack(stack, { quick: true, ...options }, beside);
  } finally {
    await stack[by].query(`${uproot}; notify pgrst, 'reload schema'`);
  }
}
