import type pg from 'pg';
import type { Lab } from '../lab.ts';
import type { Session } from '../probes/login.ts';
import type { Finding, Probe, Verb } from '../types.ts';
import { tryRule } from './acting.ts';
import { ruleFacts } from './facts.ts';
import type { RuleFamily } from './families.ts';
import { rules } from './index.ts';
import type { Rule, RuleFacts } from './types.ts';

const PRESENT = `select name from unnest($1::text[]) as name where case when name like '%(%' then to_regprocedure(name) is not null
  else to_regclass(name) is not null end`;

/** The rules, in their order, and what some are about that this database does not have: those cannot be tried. */
export async function rulesHere(query: Pick<pg.ClientBase, 'query'>): Promise<{ here: Rule[]; absent: string[] }> {
  const names = [...new Set(rules.map(({ about }) => about))];
  const { rows } = await query.query<{ name: string }>(PRESENT, [names]);
  const present = new Set(rows.map(({ name }) => name));
  return {
    here: rules.filter(({ about }) => present.has(about)),
    absent: names.filter((name) => !present.has(name)),
  };
}

/** A rule must not go with the name of what it is about. */
function lost(about: string): Finding {
  const titles = rules.filter((rule) => rule.about === about).map(({ title }) => title);
  const detail = `the database has nothing of this name, so that nobody looks whether: ${titles.join('; ')} (renamed, dropped, or yet to be migrated)`;
  return { kind: 'uncovered', at: `${about} · rule`, relation: about, detail };
}

const BEGIN = { 'read committed': 'begin', 'repeatable read': 'begin isolation level repeatable read' } as const;

/** Rules as probes: each in a transaction of its login's own session, which is taken back. A finding for what they miss. */
export async function ruleProbes(
  lab: Lab,
  sessions: readonly Session[],
  wanted: (verb: Verb, family: RuleFamily) => boolean,
): Promise<{ probes: Probe[]; findings: Finding[] }> {
  const { target, options } = lab;
  let facts: Promise<RuleFacts> | undefined;
  const clientOf = new Map<string, pg.Client>(sessions.map(({ login, client }) => [login, client]));
  const { rows } = await target.pool.query<{ protected: boolean }>('select auth.seal_is_protected() as protected');
  const { here, absent } = await rulesHere(target.pool);
  const isAsked = ({ about, family }: Rule) =>
    wanted('rule', family) && (!options.only?.relations || options.only.relations.includes(about));
  const chosen = here.filter(
    (rule) =>
      (rule.login === 'rowhouse_migrator' || clientOf.has(rule.login)) &&
      (!rule.needsProtection || rows[0]?.protected) &&
      isAsked(rule),
  );
  const findings = absent.filter((name) => rules.some((rule) => rule.about === name && isAsked(rule))).map(lost);
  const probes: Probe[] = chosen.map((rule) => ({
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
  return { probes, findings };
}
