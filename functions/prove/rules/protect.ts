import type { Acting, Rule } from './types.ts';

export const COLUMNS = 'tenant_id tenancy.tenant_id not null, id uuid not null';
export const KEY = 'primary key (tenant_id, id)';
const BY_TENANT = 'partition by hash (tenant_id)';
export const table = (definition: string, by = BY_TENANT) => `create table app.prove_protected (${definition}) ${by}`;
const PROTECT = `select tenancy.protect('app.prove_protected', partitions => 2, expose => true)`;

const OWN_ROWS = '(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()';
const READS = `(${OWN_ROWS} and (select request.has_tenant_role('viewer')))`;
const WRITES = `(${OWN_ROWS} and (select request.has_tenant_role('member')))`;
/** A policy that protect() would make, but for one thing. */
const policy = (name: string, says: string) =>
  `${table(`${COLUMNS}, ${KEY}`)}; create policy "${name}" on app.prove_protected ${says}`;
const READER = 'A member reads the rows of their tenant';
const WRITER = 'A writer changes rows of their tenant';
const OTHERS = 'is there for other verbs or roles';
const OTHERWISE = 'is there with another condition';

/** Tables that must not get behind the wall as they are: what is made, and what is said of it. */
const REFUSED: readonly [title: string, made: string, told: string, call?: string][] = [
  [
    'without tenant_id',
    table(`id uuid, ${'org text not null'}`, 'partition by hash (org)'),
    'it has no column tenant_id',
  ],
  ['whose tenant_id is any text', table(`tenant_id text not null, id uuid, ${KEY}`), 'tenant_id is of type text'],
  ['whose tenant_id can be null', table('tenant_id tenancy.tenant_id, id uuid'), 'tenant_id can be null'],
  ['without partitions', table(`${COLUMNS}, ${KEY}`, ''), 'it is not partitioned by hash (tenant_id)'],
  [
    'partitioned by list',
    table(`${COLUMNS}, ${KEY}`, 'partition by list (tenant_id)'),
    'it is not partitioned by hash (tenant_id)',
  ],
  [
    'partitioned by the tenant and more',
    table(`${COLUMNS}, ${KEY}`, 'partition by hash (tenant_id, id)'),
    'it is not partitioned by hash (tenant_id)',
  ],
  [
    'partitioned by something else',
    table(`${COLUMNS}, ${KEY}`, 'partition by hash (id)'),
    'it is not partitioned by hash (tenant_id)',
  ],
  ['without a primary key', table(`${COLUMNS}, unique (tenant_id, id)`), 'it has no primary key'],
  [
    'whose primary key leads with something else',
    table(`${COLUMNS}, primary key (id, tenant_id)`),
    'primary key prove_protected_pkey does not lead with tenant_id',
  ],
  [
    'whose unique key leads with something else',
    table(`${COLUMNS}, ${KEY}, constraint prove_key unique (id, tenant_id)`),
    'unique key prove_key does not lead with tenant_id',
  ],
  [
    'whose index leads with something else',
    `${table(`${COLUMNS}, ${KEY}`)}; create index prove_idx on app.prove_protected (id)`,
    'index prove_idx does not lead with tenant_id',
  ],
  [
    'with a reference beside the tenant',
    `create table app.prove_shared (id uuid primary key); ${table(`${COLUMNS}, ${KEY}, constraint prove_fkey foreign key (id) references app.prove_shared`)}`,
    'foreign key prove_fkey does not lead with tenant_id',
  ],
  [
    'with rows of nobody',
    `${table(`${COLUMNS}, ${KEY}`)}; create table app.prove_rows partition of app.prove_protected for values with (modulus 1, remainder 0); insert into app.prove_protected values ('t_prove_nobody', gen_random_uuid())`,
    'it has rows of t_prove_nobody, which is no tenant',
  ],
  [
    'in no partitions',
    table(`${COLUMNS}, ${KEY}`),
    '0 partitions were asked for',
    `select tenancy.protect('app.prove_protected', partitions => 0)`,
  ],
  [
    'for a role that is none',
    table(`${COLUMNS}, ${KEY}`),
    "write_role 'root' is no role of a tenant",
    `select tenancy.protect('app.prove_protected', write_role => 'root')`,
  ],
  [
    'for a role that reads and is none',
    table(`${COLUMNS}, ${KEY}`),
    "read_role 'root' is no role of a tenant",
    `select tenancy.protect('app.prove_protected', read_role => 'root')`,
  ],
  [
    'for writers who do not read',
    table(`${COLUMNS}, ${KEY}`),
    'member may write and only admin may read',
    `select tenancy.protect('app.prove_protected', read_role => 'admin')`,
  ],
  [
    'for verbs that are none',
    table(`${COLUMNS}, ${KEY}`),
    'client_verbs {truncate} has more than insert, update and delete',
    `select tenancy.protect('app.prove_protected', client_verbs => '{truncate}')`,
  ],
  ...(
    [
      ['that shows everything', READER, 'for select to tenant_user using (true)', OTHERWISE],
      [
        'that does not let through by itself',
        READER,
        `as restrictive for select to tenant_user using ${READS}`,
        OTHERS,
      ],
      ['for every verb', READER, `for all to tenant_user using ${READS}`, OTHERS],
      ['for somebody else, too', READER, `for select to tenant_user, operator using ${READS}`, OTHERS],
      ['without a look at new rows', WRITER, `for update to tenant_user using ${WRITES}`, OTHERWISE],
      ['without a look at old rows', WRITER, `for update to tenant_user with check ${WRITES}`, OTHERWISE],
      ['for any new row', WRITER, `for update to tenant_user using ${WRITES} with check (true)`, OTHERWISE],
      ['for any old row', WRITER, `for update to tenant_user using (true) with check ${WRITES}`, OTHERWISE],
    ] as const
  ).map(([what, name, says, told]): (typeof REFUSED)[number] => [
    `with a policy of the same name ${what}`,
    policy(name, says),
    `policy "${name}" ${told}`,
  ]),
];

const MADE = `
select count(*) filter (where c.relrowsecurity and c.relforcerowsecurity)::int as closed,
  (select count(*)::int from pg_policy where polrelid = 'app.prove_protected'::regclass and pg_get_expr(coalesce(polqual, polwithcheck), polrelid) like '%request.tenant_id()%') as policies,
  (select array_agg(tgname::text order by tgname) from pg_trigger where tgrelid = 'app.prove_protected'::regclass and not tgisinternal) as triggers,
  (select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = 'app.prove_protected'::regclass and adnum = 1) as filled
from pg_class c where c.relname ~ '^prove_protected(_p\\d+)?$' and c.relkind in ('r', 'p')`;

const WANTED = {
  closed: 3,
  policies: 5,
  triggers: ['ledger_delete', 'ledger_insert', 'ledger_update', 'touch'],
  filled: 'request.tenant_id()',
};

const rule = (title: string, check: (acting: Acting) => Promise<void>): Rule => ({
  about: 'tenancy.protect(regclass,integer,boolean,boolean,text,text[],text[],text,text)',
  family: 'protect',
  title,
  login: 'rowhouse_migrator',
  check,
});

export const protectRules: Rule[] = [
  rule('a protected table is behind the whole wall, its partitions too', async ({ ok, same }) => {
    await ok(table(`${COLUMNS}, updated_at timestamptz, ${KEY}`));
    await ok(PROTECT);
    same(await ok(MADE), [WANTED], 'what protects it');
  }),
  rule('a protected table can be protected again', async ({ ok }) => {
    await ok(policy(READER, `for select to tenant_user using ${READS}`));
    await ok(
      `create policy "${WRITER}" on app.prove_protected for update to tenant_user using ${WRITES} with check ${WRITES}`,
    );
    await ok(PROTECT);
    await ok(PROTECT);
  }),
  ...REFUSED.map(([title, made, told, call = PROTECT]) =>
    rule(`a table ${title} is refused`, async ({ ok, refused }) => {
      await ok(made);
      await refused(`42P16 app.prove_protected cannot be protected: ${told}`, call);
    }),
  ),
];
