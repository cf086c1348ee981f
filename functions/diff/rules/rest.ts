import type { Rule } from './rule.ts';

const KINDS = ['catalogue'];

/** What has no facts of its own: rows of db/catalog.sql. */
export const restRules: readonly Rule[] = [
  {
    id: 'rule-added',
    kinds: KINDS,
    change: 'added',
    when: ({ name }) => /^CREATE RULE/.test(name),
    level: 'dangerous',
    why: 'A rule rewrites statements, with its owner’s rights, before grants and policies are looked at.',
  },
  {
    id: 'event-trigger',
    kinds: KINDS,
    change: 'added',
    when: ({ name }) => /^event trigger/.test(name),
    level: 'review',
    why: 'It runs with every change of the schema, as whoever makes it.',
  },
  {
    id: 'sequence',
    kinds: KINDS,
    change: 'added',
    when: ({ name }) => /^sequence/.test(name),
    level: 'safe',
    why: 'A sequence holds no row; who may use it is told by grants.',
  },
  {
    id: 'catalogue-added',
    kinds: KINDS,
    change: 'added',
    level: 'review',
    why: 'No rule of the wall knows it: a person has to say what it opens.',
  },
  {
    id: 'sequence-gone',
    kinds: KINDS,
    change: 'dropped',
    when: ({ name }) => /^sequence/.test(name),
    level: 'safe',
    why: 'A sequence holds no row; who may use it is told by grants.',
  },
  {
    id: 'catalogue-dropped',
    kinds: KINDS,
    change: 'dropped',
    level: 'review',
    why: 'No rule of the wall knows it: a person has to say what rested on it.',
  },
  {
    id: 'comment',
    kinds: ['comment'],
    change: 'changed',
    level: 'safe',
    why: 'A comment decides nothing: clients read it in the documentation of the API.',
  },
];
