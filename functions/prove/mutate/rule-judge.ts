import type { ClientBase } from 'pg';
import { tryRule } from '../rules/acting.ts';
import type { Rule, RuleFacts } from '../rules/types.ts';
import type { Death, Mutant } from './types.ts';

/** Runs `work` in a transaction that begins with the SQL, and takes all of it back. */
export type InTransaction = <T>(sql: string, work: () => Promise<T>, isolation?: string) => Promise<T>;

const LEVELS = ['read committed', 'repeatable read'] as const;

/** Judges mutants by prove's rules: the first that does not hold. `setup` is run before the mutant. */
export function ruleJudge(
  client: ClientBase,
  rules: readonly Rule[],
  inTransaction: InTransaction,
): (mutant: Mutant, setup: string, facts: RuleFacts) => Promise<Death> {
  /** What noticed earlier mutants of an element, by what it is about. */
  const noticed = new Map<string, Set<string>>();

  /** As the login whose session it is: a superuser can take its place, and the mutant need not be committed. */
  async function tryAs(rule: Rule, facts: RuleFacts) {
    await client.query('savepoint rule');
    await client.query(`set local session authorization ${rule.login}`);
    if (rule.login === 'rowhouse_migrator') await client.query('set local role rowhouse_owner');
    const verdict = await tryRule(client, rule, facts);
    await client.query('rollback to savepoint rule');
    return verdict;
  }

  /** Rules about the element first, then about what noticed the last one: they are the likeliest to see it. */
  function inOrder({ element, sql }: Mutant): Rule[] {
    const near = ({ about }: Rule) => sql.includes(about.replace(/\(.*/, ''));
    const place = (rule: Rule) =>
      element.includes(rule.about) ? 0 : noticed.get(element)?.has(rule.about) ? 1 : near(rule) ? 2 : 3;
    return rules.toSorted((left, right) => place(left) - place(right));
  }

  async function broken(mutant: Mutant, chosen: readonly Rule[], facts: RuleFacts): Promise<Death> {
    for (const rule of chosen) {
      const { outcome, reason } = await tryAs(rule, facts);
      if (outcome === 'held') continue;
      noticed.set(mutant.element, (noticed.get(mutant.element) ?? new Set<string>()).add(rule.about));
      return { by: 'prove', what: `${rule.about}: ${rule.title}: ${reason}` };
    }
    return undefined;
  }

  return async (mutant, setup, facts) => {
    const here = inOrder(mutant).filter(({ needsProtection }) => facts.protected || !needsProtection);
    for (const level of LEVELS) {
      const some = here.filter(({ isolation = 'read committed' }) => isolation === level);
      const death = await inTransaction(setup + mutant.sql, () => broken(mutant, some, facts), level);
      if (death) return death;
    }
    return undefined;
  };
}
