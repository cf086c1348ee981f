import type { Change } from '../wall.ts';
import { isStranger, type Rule, words } from './rule.ts';

const GRANT = ['grant'];
const on = ({ facts }: Change) => String(facts.on);
const gives =
  (pattern: RegExp) =>
  ({ after }: Change) =>
    words(after).some((privilege) => pattern.test(privilege));

export const grantRules: readonly Rule[] = [
  {
    id: 'grant-revoked',
    kinds: GRANT,
    change: 'dropped',
    level: 'safe',
    why: 'A role can do less than before.',
  },
  {
    id: 'grant-to-strangers',
    kinds: GRANT,
    change: 'added',
    when: ({ facts }) => isStranger(facts.grantee),
    level: 'dangerous',
    why: 'PUBLIC, anon and authenticator are whoever has no proven tenant.',
  },
  {
    id: 'grant-on-partition',
    kinds: GRANT,
    change: 'added',
    when: ({ facts }) => facts.of_kind === 'partition',
    level: 'dangerous',
    why: "A partition has no policies of its own: reached directly, it is not held by its parent's.",
  },
  {
    id: 'grant-on-keys',
    kinds: GRANT,
    change: 'added',
    when: (change) => change.facts.of_kind !== 'function' && /^auth(\.|$)/.test(on(change)),
    level: 'dangerous',
    why: 'The auth schema holds the signing keys and who is an operator.',
  },
  {
    id: 'grant-on-gate',
    kinds: GRANT,
    change: 'added',
    when: (change) => /^auth\./.test(on(change)),
    level: 'dangerous',
    why: 'Functions of the auth schema make, verify and seal tokens.',
  },
  {
    id: 'grant-on-seal',
    kinds: GRANT,
    change: 'added',
    when: (change) => change.facts.of_kind === 'parameter' && on(change) === 'backtrace_functions',
    level: 'dangerous',
    why: 'Whoever may set the protected variable can write itself into any tenant.',
  },
  {
    id: 'grant-with-option',
    kinds: GRANT,
    change: 'added',
    when: gives(/with grant option/),
    level: 'dangerous',
    why: 'The role can pass it on to anybody.',
  },
  {
    id: 'grant-past-policies',
    kinds: GRANT,
    change: 'added',
    when: gives(/^(truncate|references|trigger)\b/),
    level: 'dangerous',
    why: "TRUNCATE, REFERENCES and TRIGGER are not held by policies: they reach other tenants' rows, or tell of them.",
  },
  {
    id: 'grant-to-create',
    kinds: GRANT,
    change: 'added',
    when: gives(/^(create|temporary|set|alter system|maintain)\b/),
    level: 'dangerous',
    why: 'Who can make objects or change settings of the server can put own code where others run it.',
  },
  {
    id: 'grant-on-system',
    kinds: GRANT,
    change: 'added',
    when: (change) => ['function', 'table', 'schema'].includes(String(change.facts.of_kind)) && isSystem(on(change)),
    level: 'dangerous',
    why: 'What the system catalogues, extensions and the queue hold has no tenant: it is open to all who reach it.',
  },
  {
    id: 'grant-added',
    kinds: GRANT,
    change: 'added',
    level: 'review',
    why: 'A role can do more than before; policies still decide on which rows.',
  },
  {
    id: 'default-to-strangers',
    kinds: ['default privilege'],
    change: 'added',
    when: ({ facts }) => isStranger(facts.grantee) || /^(tenant_user|operator)$/.test(String(facts.grantee)),
    level: 'dangerous',
    why: 'Everything made from now on is open to that role from the moment that it is made.',
  },
  {
    id: 'default-added',
    kinds: ['default privilege'],
    change: 'added',
    level: 'review',
    why: 'The role gets these privileges on everything made from now on.',
  },
  {
    id: 'default-revoked',
    kinds: ['default privilege'],
    change: 'dropped',
    level: 'safe',
    why: 'What is made from now on is opened by grants alone.',
  },
];

/** With an empty search_path, names of pg_catalog are the only ones that need no schema. */
function isSystem(name: string): boolean {
  return (
    /^(pg_catalog|information_schema|extensions|pgboss)(\.|$)/.test(name) ||
    /^[a-z_0-9]+\(/.test(name) ||
    /^pg_/.test(name)
  );
}
