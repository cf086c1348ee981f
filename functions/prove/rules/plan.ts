import type pg from 'pg';
import type { Lab } from '../lab.ts';
import type { Session } from '../probes/login.ts';
import type { Probe, Verb } from '../types.ts';
import { tryRule } from './acting.ts';
import { ruleFacts } from './facts.ts';
import type { RuleFamily } from './families.ts';
import { rules } from './index.ts';
import type { Rule, RuleFacts } from './types.ts';

const PRESENT = `select name from unnest($1::text[]) as name where case when name like '%(%' then to_regprocedure(name) is not null
  else to_regclass(name) is not null end`;

/** Rules about what this schema has, in their order. */
export async function rulesHere(query: Pick<pg.ClientBase, 'query'>): Promise<Rule[]> {
  const names = [...new Set(rules.map(({ about }) => about))];
  const { rows } = await query.query<{ name: string }>(PRESENT, [names]);
  const present = new Set(rows.map(({ name }) => name));
  return rules.filter(({ about }) => present.has(about));
}

const BEGIN = { 'read committed': 'begin', 'repeatable read': 'begin isolation level repeatable read' } as const;

/** Rules as probes: each in a transaction of its login's own session, which is taken back. */
export async function ruleProbes(
  lab: Lab,
  sessions: readonly Session[],
  wanted: (verb: Verb, family: RuleFamily) => boolean,
): Promise<Probe[]> {
  const { target, options } = lab;
  let facts: Promise<RuleFacts> | undefined;
  const clientOf = new Map<string, pg.Client>(sessions.map(({ login, client }) => [login, client]));
  const { rows } = await target.pool.query<{ protected: boolean }>('select auth.seal_is_protected() as protected');
  const chosen = (await rulesHere(target.pool)).filter(
    ({ about, family, login, needsProtection }) =>
      (login === 'rowhouse_migrator' || clientOf.has(login)) &&
      (!needsProtection || rows[0]?.protected) &&
      wanted('rule', family) &&
      (!options.only?.relations || options.only.relations.includes(about)),
  );
  return chosen.map((rule) => ({
    relation: rule.about,
    verb: 'rule',
    role: rule.login,
    family: rule.family,
    door: 'session',
    title: rule.title,
    attack: { door: 'session', method: 'SQL', schema: rule.about, path: rule.title, token: null },
    run: async () => {
      facts ??= ruleFacts(target.pool, lab.world);
      const known = await facts;
      const own = clientOf.get(rule.login);
      const client = own ?? (await target.pool.connect());
      try {
        await client.query(BEGIN[rule.isolation ?? 'read committed']);
        return await tryRule(client, rule, known);
      } finally {
        await client.query('rollback');
        if (!own) (client as pg.PoolClient).release();
      }
    },
  }));
}
