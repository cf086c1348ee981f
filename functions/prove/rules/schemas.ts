import type { Login, Rule } from './types.ts';

const OURS = [
  'request',
  'auth',
  'tenancy',
  'ledger',
  'metering',
  'webhook',
  'tune',
  'app',
  'v1',
  'admin',
  'pgboss',
  'extensions',
  'public',
];

/** Whose session, which role in it, and the schemas that are open to it. What stands in the others it cannot even name. */
const OPEN: readonly [login: Login, role: string, schemas: readonly string[]][] = [
  ['authenticator', 'authenticator', ['auth']],
  ['authenticator', 'anon', ['auth']],
  ['authenticator', 'tenant_user', ['request', 'auth', 'tenancy', 'metering', 'webhook', 'app', 'v1']],
  ['authenticator', 'operator', ['request', 'auth', 'tenancy', 'admin']],
  ['rowhouse_worker', 'rowhouse_worker', ['request', 'auth', 'tenancy', 'ledger', 'webhook', 'app', 'pgboss']],
  ['rowhouse_edge', 'rowhouse_edge', ['request', 'auth', 'tenancy', 'ledger', 'metering', 'app', 'v1']],
];

/** Two keys to a door: a grant on a relation opens nothing in a schema that is closed. */
export const schemaRules: Rule[] = OPEN.map(([login, role, open]) => ({
  about: 'auth.enter(text)',
  family: 'schema',
  title: `${role} names what stands in its schemas, and in no other`,
  login,
  async check({ ok, refused }) {
    await ok(`set local role ${role}`);
    for (const schema of OURS)
      await refused(open.includes(schema) ? '42P01' : '42501', `select from ${schema}.prove_nothing`);
  },
}));
