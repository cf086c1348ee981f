import { isDeepStrictEqual } from 'node:util';
import type { ClientBase } from 'pg';
import { unforced } from '../fill/fill.ts';
import type { Verdict } from '../types.ts';
import type { Acting, Rule, RuleFacts } from './types.ts';

interface DatabaseError extends Error {
  code?: string;
  constraint?: string;
}

/** A typed error's code and details; of any other, what identifies it. */
function toldBy(error: DatabaseError): string[] {
  if (error.code === 'PGRST') {
    const { code, details } = JSON.parse(error.message) as { code: string; details: string | null };
    return [code, `${code}: ${details}`];
  }
  return [error.code ?? '', `${error.code} ${error.constraint}`, `${error.code} ${error.message}`];
}

type Failure = Error & { outcome: Verdict['outcome'] };
const failure = (outcome: Verdict['outcome'], message: string): Failure =>
  Object.assign(new Error(message), { outcome });

function actingIn(client: ClientBase, facts: RuleFacts, road: string[]): Acting {
  let nth = 0;
  const query = (sql: string, values: readonly unknown[] = []) => {
    road.push(sql);
    return client.query(sql, [...values]);
  };
  const acting: Acting = {
    facts,
    async ok<Row>(sql: string, values: readonly unknown[] = []) {
      try {
        return (await query(sql, values)).rows as Row[];
      } catch (error) {
        throw failure('vacuous', `what has to work does not: ${toldBy(error as DatabaseError).at(-1)} (${sql})`);
      }
    },
    async refused(told, sql, values = []) {
      const savepoint = `refusing_${++nth}`;
      await client.query(`savepoint ${savepoint}`);
      const answer = await query(sql, values).catch((error: DatabaseError) => toldBy(error));
      await client.query(`rollback to savepoint ${savepoint}`);
      if (Array.isArray(answer) && answer.includes(told)) return;
      const found = Array.isArray(answer) ? answer.at(-1) : `it was not: ${answer.rowCount} rows`;
      throw failure('leak', `it has to be refused with ${told}; ${found} (${sql})`);
    },
    same(found, wanted, what) {
      if (!isDeepStrictEqual(found, wanted))
        throw failure('leak', `${what}: ${JSON.stringify(found)} in place of ${JSON.stringify(wanted)}`);
    },
    async enter(name, role) {
      const token = facts.tokens.get(name) ?? facts.world.tokens.get(name);
      await acting.ok('select auth.enter($1)', [token]);
      if (role) await acting.ok(`set local role ${role}`);
    },
    async serve() {
      await acting.ok(`select auth.enter(auth.issue_service_token($1, 'prove'))`, [facts.world.tenants.A]);
    },
    unforced: (table, work) => unforced({ query }, [{ name: table, forced: true }], work),
    async aside(work) {
      const savepoint = `aside_${++nth}`;
      await client.query(`savepoint ${savepoint}`);
      await work();
      await client.query(`rollback to savepoint ${savepoint}`);
    },
  };
  return acting;
}

/** Tries a rule in a transaction that somebody else has begun and takes back. */
export async function tryRule(client: ClientBase, rule: Rule, facts: RuleFacts): Promise<Verdict> {
  const road: string[] = [];
  try {
    await rule.check(actingIn(client, facts, road));
    return { outcome: 'held', requests: road.length };
  } catch (error) {
    const { outcome = 'broken', message } = error as Failure;
    const line = `psql -U ${rule.login} -c ${JSON.stringify(['begin', ...road].join('; '))}`;
    return { outcome, requests: road.length, reason: message, curl: line };
  }
}
