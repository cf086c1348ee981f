import { isTied } from '../condition.ts';
import type { Change, Facts } from '../wall.ts';
import { gained, isInternal, isStranger, lost, type Rule, words } from './rule.ts';

const permissive = ({ facts }: Change) => facts.permissive === true;
const restrictive = ({ facts }: Change) => facts.permissive === false;

/** A permissive policy for others than the owner and the sealer has to hold rows to the sealed tenant. */
function untied(facts: Facts): boolean {
  const conditions = [facts.using, facts.check].filter((condition) => typeof condition === 'string');
  const open = conditions.length === 0 || !conditions.every((condition) => isTied(condition, String(facts.of)));
  return facts.permissive === true && open && !words(facts.roles).every(isInternal);
}

const KINDS = ['policy'];

export const policyRules: readonly Rule[] = [
  {
    id: 'policy-untied',
    kinds: KINDS,
    change: 'added',
    when: ({ facts }) => untied(facts),
    level: 'dangerous',
    why: "Nothing in its condition holds the rows to the sealed tenant: it can open other tenants' rows.",
  },
  {
    id: 'policy-for-strangers',
    kinds: KINDS,
    change: 'added',
    when: (change) => permissive(change) && words(change.facts.roles).some(isStranger),
    level: 'dangerous',
    why: 'It is for PUBLIC, anon or authenticator: roles without a proven tenant.',
  },
  {
    id: 'policy-added',
    kinds: KINDS,
    change: 'added',
    when: permissive,
    level: 'review',
    why: 'Permissive policies add up: its roles reach the rows that its condition lets through.',
  },
  {
    id: 'restriction-added',
    kinds: KINDS,
    change: 'added',
    level: 'safe',
    why: 'A restrictive policy only takes rows away.',
  },
  {
    id: 'policy-dropped',
    kinds: KINDS,
    change: 'dropped',
    when: permissive,
    level: 'safe',
    why: 'Without a permissive policy its roles reach less, never more.',
  },
  {
    id: 'restriction-dropped',
    kinds: KINDS,
    change: 'dropped',
    level: 'dangerous',
    why: 'What the restrictive policy forbade is allowed again.',
  },
  {
    id: 'policy-permissive',
    kinds: KINDS,
    change: 'changed',
    fact: 'permissive',
    when: permissive,
    level: 'dangerous',
    why: 'What restricted every other policy opens rows of its own now.',
  },
  {
    id: 'policy-restrictive',
    kinds: KINDS,
    change: 'changed',
    fact: 'permissive',
    level: 'safe',
    why: 'It opens nothing any more, and restricts the others.',
  },
  {
    id: 'policy-roles-strangers',
    kinds: KINDS,
    change: 'changed',
    fact: 'roles',
    when: (change) => permissive(change) && gained(change).some(isStranger),
    level: 'dangerous',
    why: 'It is for PUBLIC, anon or authenticator now: roles without a proven tenant.',
  },
  {
    id: 'policy-roles-untied',
    kinds: KINDS,
    change: 'changed',
    fact: 'roles',
    when: (change) => gained(change).length > 0 && untied(change.facts),
    level: 'dangerous',
    why: 'Its condition does not hold rows to the sealed tenant, and more roles pass it now.',
  },
  {
    id: 'policy-roles-widened',
    kinds: KINDS,
    change: 'changed',
    fact: 'roles',
    when: (change) => permissive(change) && gained(change).length > 0,
    level: 'review',
    why: 'More roles reach the rows that it lets through.',
  },
  {
    id: 'restriction-roles-narrowed',
    kinds: KINDS,
    change: 'changed',
    fact: 'roles',
    when: (change) => restrictive(change) && lost(change).length > 0,
    level: 'dangerous',
    why: 'The restriction no longer holds for a role that it held for.',
  },
  {
    id: 'policy-roles-stricter',
    kinds: KINDS,
    change: 'changed',
    fact: 'roles',
    level: 'safe',
    why: 'Fewer roles pass it, or more are restricted by it.',
  },
  {
    id: 'policy-condition-untied',
    kinds: KINDS,
    change: 'changed',
    when: ({ fact, facts }) => (fact === 'using' || fact === 'check' || fact === 'command') && untied(facts),
    level: 'dangerous',
    why: 'Its condition no longer holds rows to the sealed tenant.',
  },
  {
    id: 'policy-condition',
    kinds: KINDS,
    change: 'changed',
    level: 'review',
    why: 'It lets other rows or other verbs through than before.',
  },
];
