import { splitStatements } from '../../migrate/statements.ts';
import type { Change } from '../wall.ts';
import { type Rule, turned } from './rule.ts';

const KINDS = ['function'];

/** The gate, the seal, what reads it, and what puts tables behind the wall. */
const GUARDS =
  /^(auth|request)\.|^tenancy\.(role_rank|protect|add_polic(?:y|ies)|add_partitions|pin_statistics|expose|check_\w+|refuse)\(/;
const isGuard = ({ name }: Change) => GUARDS.test(name);
const isExposed = ({ name }: Change) => /^(v1|admin)\./.test(name);
/** Alone, or between other settings; another element behind the empty one is part of its value. */
const PINNED = /(?:^|, )search_path=""(?:$|, [\w.]+=)/;
const unpinned = ({ facts }: Change) => !PINNED.test(String(facts.settings)) && facts.parsed !== true;

/** Bodies with comments like this are compared as they stand: such comments nest, and our reader of SQL does not. */
const withoutComments = (body: unknown) =>
  String(body).includes('/*') ? String(body) : splitStatements(String(body)).join(';\n');

export const functionRules: readonly Rule[] = [
  {
    id: 'body-comments',
    kinds: KINDS,
    change: 'changed',
    fact: 'body',
    when: ({ before, after }) => withoutComments(before) === withoutComments(after),
    level: 'safe',
    why: 'Only comments and white space of its body changed.',
  },
  {
    id: 'planning-estimate',
    kinds: KINDS,
    change: 'changed',
    fact: 'planning',
    level: 'safe',
    why: 'Cost and rows are estimates for the planner.',
  },
  {
    id: 'guard-changed',
    kinds: KINDS,
    change: 'changed',
    when: isGuard,
    level: 'dangerous',
    why: 'Every tenant is kept apart by what this function does: read the change as one of the wall itself.',
  },
  {
    id: 'guard-dropped',
    kinds: KINDS,
    change: 'dropped',
    when: isGuard,
    level: 'dangerous',
    why: 'It is a part of the gate or the seal: without it requests fail, or pass unproven.',
  },
  {
    id: 'guard-added',
    kinds: KINDS,
    change: 'added',
    when: isGuard,
    level: 'review',
    why: 'A new part of the gate, the seal or protect(): everything behind the wall may come to rest on it.',
  },
  {
    id: 'leakproof',
    kinds: KINDS,
    change: 'changed',
    fact: 'leakproof',
    when: turned(true),
    level: 'dangerous',
    why: "The planner may run it on rows before policies have sorted out other tenants' rows.",
  },
  {
    id: 'not-leakproof',
    kinds: KINDS,
    change: 'changed',
    fact: 'leakproof',
    level: 'safe',
    why: 'It sees only rows that policies let through.',
  },
  {
    id: 'search-path-lost',
    kinds: KINDS,
    change: 'changed',
    fact: 'settings',
    when: (change) => change.facts.definer === true && unpinned(change),
    level: 'dangerous',
    why: "It runs with its owner's rights, and a caller's search_path now decides which functions it calls.",
  },
  {
    id: 'definer-unpinned',
    kinds: KINDS,
    change: 'changed',
    fact: 'definer',
    when: (change) => change.after === true && unpinned(change),
    level: 'dangerous',
    why: "It runs with its owner's rights now, and a caller's search_path decides which functions it calls.",
  },
  {
    id: 'definer',
    kinds: KINDS,
    change: 'changed',
    fact: 'definer',
    when: turned(true),
    level: 'review',
    why: "It runs with its owner's grants and policies now, whoever calls it.",
  },
  {
    id: 'invoker',
    kinds: KINDS,
    change: 'changed',
    fact: 'definer',
    level: 'safe',
    why: "It runs with the caller's own rights.",
  },
  {
    id: 'function-changed',
    kinds: KINDS,
    change: 'changed',
    level: 'review',
    why: 'It may read, write or answer something else than before.',
  },
  {
    id: 'definer-unpinned-added',
    kinds: KINDS,
    change: 'added',
    when: (change) => change.facts.definer === true && unpinned(change),
    level: 'dangerous',
    why: "It runs with its owner's rights, and a caller's search_path decides which functions it calls.",
  },
  {
    id: 'definer-added',
    kinds: KINDS,
    change: 'added',
    when: ({ facts }) => facts.definer === true || facts.leakproof === true,
    level: 'review',
    why: "It runs with its owner's rights, or before policies: it has to hold rows to the tenant by itself.",
  },
  {
    id: 'api-function-added',
    kinds: KINDS,
    change: 'added',
    when: isExposed,
    level: 'review',
    why: 'It is part of the API for whoever is granted it.',
  },
  {
    id: 'function-added',
    kinds: KINDS,
    change: 'added',
    level: 'safe',
    why: "It runs with the caller's rights, and only for whom it is granted to.",
  },
  {
    id: 'function-dropped',
    kinds: KINDS,
    change: 'dropped',
    level: 'safe',
    why: 'What is not there cannot be called.',
  },
];
