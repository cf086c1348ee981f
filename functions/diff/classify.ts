import { columnRules } from './rules/columns.ts';
import { functionRules } from './rules/functions.ts';
import { grantRules } from './rules/grants.ts';
import { keyRules } from './rules/keys.ts';
import { policyRules } from './rules/policies.ts';
import { relationRules } from './rules/relations.ts';
import { restRules } from './rules/rest.ts';
import { roleRules } from './rules/roles.ts';
import type { Level, Rule } from './rules/rule.ts';
import { triggerRules } from './rules/triggers.ts';
import type { Change } from './wall.ts';

export type { Level } from './rules/rule.ts';

export interface Finding {
  level: Level;
  rule: string;
  kind: string;
  /** The object; for a change that many partitions of a table share, all of them. */
  object: string;
  change: Change['change'];
  fact: string | null;
  before: Change['before'] | null;
  after: Change['after'] | null;
  what: string;
  why: string;
}

/** In order: the first that fits judges. */
export const RULES: readonly Rule[] = [
  ...relationRules,
  ...columnRules,
  ...policyRules,
  ...keyRules,
  ...functionRules,
  ...triggerRules,
  ...grantRules,
  ...roleRules,
  ...restRules,
];

const UNKNOWN = {
  id: 'unknown',
  level: 'review',
  why: 'No rule knows this change: a person has to read it.',
} as const;

const SEVERITY: Record<Level, number> = { dangerous: 0, review: 1, safe: 2 };
/** Facts whose values are whole texts: that they changed is enough for a line. */
const TEXTS = new Set(['body', 'definition']);

const shown = (value: Change['before']) => (Array.isArray(value) ? value.join(', ') : String(value ?? 'none'));

function describe(object: string, { kind, change, fact, before, after }: Change): string {
  if (kind === 'catalogue') return `${object.split('\n')[0]?.trim()} ${change}`;
  if (kind === 'grant' || kind === 'default privilege') {
    const [verb, privileges] = change === 'added' ? ['granted', after] : ['revoked', before];
    return `${kind} ${verb} ${verb === 'granted' ? object : object.replace(/^to /, 'from ')}: ${shown(privileges)}`;
  }
  // "4 partitions of …" says by itself what it is.
  const subject = /^\d/.test(object) ? object : `${kind} ${object}`;
  if (!fact) return `${subject} ${change}`;
  const name = fact.replaceAll('_', ' ');
  return TEXTS.has(fact) ? `${subject}: ${name} changed` : `${subject}: ${name} ${shown(before)} → ${shown(after)}`;
}

function judge(change: Change): Finding {
  const rule =
    RULES.find(
      ({ kinds, change: event, fact, when }) =>
        kinds.includes(change.kind) &&
        event === change.change &&
        (fact === undefined || fact === change.fact) &&
        (when?.(change) ?? true),
    ) ?? UNKNOWN;
  const { kind, name, fact = null, before = null, after = null } = change;
  const { id, level, why } = rule;
  const what = describe(name, change);
  return { level, rule: id, kind, object: name, change: change.change, fact, before, after, what, why };
}

/** What many partitions of one table have in common is one line. */
function gathered(changes: readonly Change[]): Change[] {
  const groups = new Map<string, Change[]>();
  for (const change of changes) {
    const { kind, facts, fact, before, after } = change;
    const parent = kind === 'partition' || facts.of_kind === 'partition' ? facts.parent : undefined;
    const alike = [kind, parent, facts.grantee, change.change, fact, before, after, facts.rls, facts.forced];
    const key = JSON.stringify(parent === undefined ? [kind, change.name, fact, change.change] : alike);
    groups.set(key, [...(groups.get(key) ?? []), change]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first || group.length === 1) return group;
    const all = `${group.length} partitions of ${first.facts.parent}`;
    return [{ ...first, name: first.kind === 'grant' ? `to ${first.facts.grantee} on ${all}` : all }];
  });
}

/**
 * Judges each change, with the sentence why, most dangerous first. Pure: the rules are all that it knows.
 */
export function classify(changes: readonly Change[]): Finding[] {
  const findings = gathered(changes).map(judge);
  return findings.sort(
    (a, b) => SEVERITY[a.level] - SEVERITY[b.level] || a.kind.localeCompare(b.kind) || a.object.localeCompare(b.object),
  );
}
