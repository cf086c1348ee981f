import type { Change } from '../wall.ts';
import { type Rule, turned } from './rule.ts';

const ATTRIBUTES = ['superuser', 'bypassrls', 'createrole', 'createdb', 'replication', 'login', 'inherit'];
const isAttribute = ({ fact }: Change) => ATTRIBUTES.includes(String(fact));

/** What belongs to the cluster, and what belongs to the database as a whole. */
export const roleRules: readonly Rule[] = [
  {
    id: 'role-past-the-wall',
    kinds: ['role'],
    change: 'changed',
    when: ({ fact, after }) =>
      (fact === 'superuser' || fact === 'bypassrls' || fact === 'replication') && after === true,
    level: 'dangerous',
    why: 'No policy holds such a role: it reads every row of every tenant.',
  },
  {
    id: 'role-attribute-gained',
    kinds: ['role'],
    change: 'changed',
    when: (change) => isAttribute(change) && change.after === true,
    level: 'dangerous',
    why: 'It can log in, act with the privileges of roles that it is in, or make roles and databases, which it could not.',
  },
  {
    id: 'role-attribute-lost',
    kinds: ['role'],
    change: 'changed',
    when: isAttribute,
    level: 'safe',
    why: 'The role can do less than before.',
  },
  {
    id: 'role-settings',
    kinds: ['role'],
    change: 'changed',
    level: 'review',
    why: 'Its sessions start with other settings: among them may be its role, its search_path and its timeouts.',
  },
  {
    id: 'role-added-past-the-wall',
    kinds: ['role'],
    change: 'added',
    when: ({ facts }) => ['superuser', 'bypassrls', 'replication', 'createrole'].some((fact) => facts[fact] === true),
    level: 'dangerous',
    why: 'No policy holds a role that bypasses row-level security, replicates, or can make such roles.',
  },
  {
    id: 'role-added',
    kinds: ['role'],
    change: 'added',
    level: 'review',
    why: 'By itself it reaches nothing: its grants and memberships are told apart.',
  },
  { id: 'role-dropped', kinds: ['role'], change: 'dropped', level: 'safe', why: 'Nobody can be it any more.' },
  {
    id: 'membership-added',
    kinds: ['membership'],
    change: 'added',
    level: 'dangerous',
    why: 'The member can act as the role: with its grants, and under the policies for it.',
  },
  {
    id: 'membership-widened',
    kinds: ['membership'],
    change: 'changed',
    when: turned(true),
    level: 'dangerous',
    why: 'The member can use, take or pass on the role in a way that it could not.',
  },
  {
    id: 'membership-narrowed',
    kinds: ['membership'],
    change: 'changed',
    level: 'safe',
    why: 'The member can do less with the role.',
  },
  {
    id: 'membership-dropped',
    kinds: ['membership'],
    change: 'dropped',
    level: 'safe',
    why: 'The member can no longer act as the role.',
  },
  {
    id: 'database-settings',
    kinds: ['database'],
    change: 'changed',
    level: 'review',
    why: 'Every session starts with other settings.',
  },
  {
    id: 'schema-added',
    kinds: ['schema'],
    change: 'added',
    level: 'review',
    why: 'A place that no rule of the wall speaks of yet.',
  },
  {
    id: 'schema-dropped',
    kinds: ['schema'],
    change: 'dropped',
    level: 'safe',
    why: 'What is not there cannot be reached.',
  },
  {
    id: 'extension-added',
    kinds: ['extension'],
    change: 'added',
    level: 'review',
    why: "Its functions are code that runs in the server, some of it with the installer's rights.",
  },
  {
    id: 'extension-changed',
    kinds: ['extension'],
    change: 'changed',
    level: 'review',
    why: 'Another version is other code that runs in the server.',
  },
  {
    id: 'extension-dropped',
    kinds: ['extension'],
    change: 'dropped',
    level: 'review',
    why: 'Signatures are checked with pgcrypto: see that nothing rests on this extension.',
  },
  {
    id: 'publication-opened',
    kinds: ['publication'],
    change: 'added',
    level: 'dangerous',
    why: 'A publication sends rows of all tenants to whoever may replicate: policies do not hold it.',
  },
  {
    id: 'publication-changed',
    kinds: ['publication'],
    change: 'changed',
    level: 'dangerous',
    why: 'It sends rows of other tables than before, past all policies.',
  },
  {
    id: 'publication-dropped',
    kinds: ['publication'],
    change: 'dropped',
    level: 'safe',
    why: 'Its rows are no longer sent.',
  },
];
