import type { Change } from '../wall.ts';
import type { Rule } from './rule.ts';

const KINDS = ['trigger'];
const keepsTime = ({ facts }: Change) => facts.function === 'tenancy.touch()';
const isLedger = ({ facts }: Change) => /^ledger\./.test(String(facts.function));

export const triggerRules: readonly Rule[] = [
  {
    id: 'clock-trigger',
    kinds: KINDS,
    change: 'dropped',
    when: keepsTime,
    level: 'review',
    why: 'The column updated_at is no longer kept true by the database.',
  },
  {
    id: 'ledger-trigger-dropped',
    kinds: KINDS,
    change: 'dropped',
    when: isLedger,
    level: 'dangerous',
    why: 'Changes of its table no longer reach the ledger: audit, events and jobs miss them.',
  },
  {
    id: 'guard-trigger-dropped',
    kinds: KINDS,
    change: 'dropped',
    level: 'dangerous',
    why: 'What it refused, or did along with every write, is no longer refused or done.',
  },
  {
    id: 'trigger-disabled',
    kinds: KINDS,
    change: 'changed',
    fact: 'enabled',
    when: ({ after }) => after === 'no' || after === 'on replicas only',
    level: 'dangerous',
    why: 'It is there and does not fire: what it refuses or records is neither refused nor recorded.',
  },
  {
    id: 'trigger-enabled',
    kinds: KINDS,
    change: 'changed',
    fact: 'enabled',
    level: 'safe',
    why: 'It fires on every write.',
  },
  {
    id: 'ledger-trigger-added',
    kinds: KINDS,
    change: 'added',
    when: isLedger,
    level: 'safe',
    why: 'Changes of its table reach the ledger.',
  },
  {
    id: 'clock-trigger-added',
    kinds: KINDS,
    change: 'added',
    when: keepsTime,
    level: 'safe',
    why: 'It keeps updated_at true, and nothing else.',
  },
  {
    id: 'trigger-added',
    kinds: KINDS,
    change: 'added',
    level: 'review',
    why: 'Its function runs with every write of the table, and can change rows or refuse them.',
  },
  {
    id: 'trigger-changed',
    kinds: KINDS,
    change: 'changed',
    level: 'review',
    why: 'It fires at other moments, or calls another function, than before.',
  },
];
