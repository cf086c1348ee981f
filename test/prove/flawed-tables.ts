import type { ProveOptions } from '../../functions/prove/types.ts';
import type { DbaTable } from './dba-tables.ts';

/** One of the six tables with one flaw in how it is written. */
interface Flawed {
  table: DbaTable;
  /** Completes "app.tags …". */
  flaw: string;
  /** In its definition: what is written otherwise. */
  change?: [from: string, to: string][];
}

/** What PostgreSQL or protect() says to it. */
export interface Refused extends Flawed {
  code: string;
  message: string;
  /** What to change; PostgreSQL's own detail where it is the one to refuse. */
  remedy?: string;
}

/** What protect() lets pass, and who catches it then. */
export interface Accepted extends Flawed {
  /** Run after the table is created and before it is protected. */
  before?: string;
  uproot?: string;
  doctor: string[];
  prove?: { only: NonNullable<ProveOptions['only']>; at: RegExp; kind?: 'leak' | 'unfillable' };
}

const PARTITIONED = ') partition by hash (tenant_id)';
const TENANT = 'tenant_id tenancy.tenant_id not null,';

const byProtect = (
  table: DbaTable,
  flaw: string,
  change: Flawed['change'],
  problem: string,
  remedy: string,
): Refused => ({
  table,
  flaw,
  ...(change ? { change } : {}),
  code: '42P16',
  message: `app.${table} cannot be protected: ${problem}`,
  remedy,
});
const byPostgres = (
  table: DbaTable,
  flaw: string,
  change: Flawed['change'],
  [code, message, remedy]: [string, string, string?],
): Refused => ({ table, flaw, ...(change ? { change } : {}), code, message, ...(remedy ? { remedy } : {}) });

const FIRST = 'put tenant_id first';
const BY_HASH = 'create it with: partition by hash (tenant_id)';
const REFERENCE =
  'reference (tenant_id, …) of another protected table: foreign key (tenant_id, x_id) references … (tenant_id, id)';

export const REFUSED: Refused[] = [
  byProtect(
    'invoices',
    'has its primary key the other way round',
    [['primary key (tenant_id, id)', 'primary key (id, tenant_id)']],
    'primary key invoices_pkey does not lead with tenant_id',
    FIRST,
  ),
  byPostgres(
    'invoices',
    'has numbers that are unique among all tenants',
    [['unique (tenant_id, number)', 'unique (number)']],
    [
      '0A000',
      'unique constraint on partitioned table must include all partitioning columns',
      'UNIQUE constraint on table "invoices" lacks column "tenant_id" which is part of the partition key.',
    ],
  ),
  byProtect(
    'invoices',
    'has a unique key that the tenant ends',
    [['unique (tenant_id, number)', 'unique (number, tenant_id)']],
    'unique key invoices_number_key does not lead with tenant_id',
    FIRST,
  ),
  byProtect(
    'invoices',
    'has a tenant_id of text',
    [[TENANT, 'tenant_id text not null,']],
    'tenant_id is of type text',
    'make it of type tenancy.tenant_id',
  ),
  byPostgres(
    'invoice_lines',
    'refers to invoices by id alone',
    [
      [
        'foreign key (tenant_id, invoice_id) references app.invoices (tenant_id, id)',
        'foreign key (invoice_id) references app.invoices (id)',
      ],
    ],
    ['42830', 'there is no unique constraint matching given keys for referenced table "invoices"'],
  ),
  byProtect(
    'invoice_lines',
    'refers to invoices with the tenant last',
    [
      [
        'foreign key (tenant_id, invoice_id) references app.invoices (tenant_id, id)',
        'foreign key (invoice_id, tenant_id) references app.invoices (id, tenant_id)',
      ],
    ],
    'foreign key invoice_lines_invoice_fkey does not lead with tenant_id',
    REFERENCE,
  ),
  byProtect(
    'invoice_lines',
    'is not partitioned',
    [[PARTITIONED, ')']],
    'it is not partitioned by hash (tenant_id)',
    BY_HASH,
  ),
  byProtect(
    'tags',
    'says nothing of a tenant',
    [
      [TENANT, ''],
      ['primary key (tenant_id, id)', 'primary key (id)'],
      ['unique (tenant_id, label)', 'unique (label)'],
      [PARTITIONED, ')'],
    ],
    'it has no column tenant_id',
    'add: tenant_id tenancy.tenant_id not null',
  ),
  byProtect(
    'tags',
    'lets the tenant be null',
    [
      [TENANT, 'tenant_id tenancy.tenant_id,'],
      ['constraint tags_pkey primary key (tenant_id, id),', ''],
    ],
    'tenant_id can be null',
    'add: not null',
  ),
  byProtect(
    'tags',
    'has no primary key',
    [['constraint tags_pkey primary key (tenant_id, id),', '']],
    'it has no primary key',
    'add: primary key (tenant_id, id)',
  ),
  byProtect(
    'tags',
    'is partitioned by list',
    [['by hash', 'by list']],
    'it is not partitioned by hash (tenant_id)',
    BY_HASH,
  ),
  byProtect(
    'invoice_tags',
    'has an index of all tenants’ tags',
    [['on app.invoice_tags (tenant_id, tag_id)', 'on app.invoice_tags (tag_id)']],
    'index invoice_tags_tag_idx does not lead with tenant_id',
    FIRST,
  ),
  byProtect(
    'invoice_tags',
    'has its primary key in the order of the join',
    [['primary key (tenant_id, invoice_id, tag_id)', 'primary key (invoice_id, tag_id, tenant_id)']],
    'primary key invoice_tags_pkey does not lead with tenant_id',
    FIRST,
  ),
  byProtect(
    'folders',
    'refers to itself with the tenant last',
    [
      [
        'foreign key (tenant_id, parent_id) references app.folders (tenant_id, id)',
        'foreign key (parent_id, tenant_id) references app.folders (id, tenant_id)',
      ],
    ],
    'foreign key folders_parent_fkey does not lead with tenant_id',
    REFERENCE,
  ),
  byProtect(
    'folders',
    'is partitioned by more than the tenant',
    [['by hash (tenant_id)', 'by hash (tenant_id, id)']],
    'it is not partitioned by hash (tenant_id)',
    BY_HASH,
  ),
  byPostgres(
    'bookings',
    'excludes overlaps among all tenants',
    [['gist (tenant_id with =, room', 'gist (room']],
    [
      '0A000',
      'unique constraint on partitioned table must include all partitioning columns',
      'EXCLUDE constraint on table "bookings" lacks column "tenant_id" which is part of the partition key.',
    ],
  ),
  byProtect(
    'bookings',
    'excludes overlaps with the tenant last',
    [['(tenant_id with =, room with =, during with &&)', '(room with =, during with &&, tenant_id with =)']],
    'index bookings_no_overlap does not lead with tenant_id',
    FIRST,
  ),
  byPostgres(
    'bookings',
    'generates a column from a setting',
    [[`('room ' || room)`, `(current_setting('app.hotel') || room)`]],
    ['42P17', 'generation expression is not immutable'],
  ),
];

export const ACCEPTED: Accepted[] = [
  {
    table: 'invoices',
    flaw: 'draws its numbers from a sequence of all tenants',
    before: `create sequence app.invoice_numbers; grant usage on sequence app.invoice_numbers to tenant_user;
      alter table app.invoices alter column number set default 'INV-' || lpad(nextval('app.invoice_numbers')::text, 4, '0')`,
    doctor: ['0027_sequence_granted app.invoice_numbers for tenant_user'],
  },
  {
    table: 'invoices',
    flaw: 'has a domain whose default is what the session says',
    before: `alter domain app.currency set default current_setting('app.currency', true)`,
    doctor: ['0073_setting_read app.currency reads app.currency'],
  },
  {
    table: 'invoice_lines',
    flaw: 'generates a column with a function that runs as the owner',
    change: [['(quantity * unit_price)', '(app.net(quantity, unit_price))']],
    doctor: ['0068_definer_not_listed app.net(numeric,numeric) for tenant_user'],
  },
  {
    table: 'invoice_lines',
    flaw: 'may be emptied by clients',
    before: 'grant truncate on app.invoice_lines to tenant_user',
    doctor: ['0024_dangerous_table_privilege app.invoice_lines for tenant_user (truncate)'],
  },
  {
    table: 'tags',
    flaw: 'has a policy from before, for everyone',
    before: 'create policy "Tags are public" on app.tags for select using (true)',
    doctor: [
      '0008_policy_always_true "Tags are public" on app.tags',
      '0009_policy_to_public "Tags are public" on app.tags',
    ],
    prove: { only: { relations: ['v1.tags'], families: ['read'] }, at: /^v1\.tags · select · viewer · read/ },
  },
  {
    table: 'tags',
    flaw: 'has one partition of many, made by hand',
    before: 'create table app.tags_first partition of app.tags for values with (modulus 1024, remainder 0)',
    doctor: ['0124_partition_missing app.tags'],
    prove: { only: { relations: ['v1.tags'], families: ['read'] }, at: /^app\.tags$/, kind: 'unfillable' },
  },
  {
    table: 'invoice_tags',
    flaw: 'has no index for one of its references',
    change: [[';\n    create index invoice_tags_tag_idx on app.invoice_tags (tenant_id, tag_id)', '']],
    doctor: ['0055_foreign_key_unindexed invoice_tags_tag_fkey on app.invoice_tags'],
  },
  {
    table: 'invoice_tags',
    flaw: 'counts all tenants’ rows in a trigger that runs as the owner',
    before: `create function app.count_tags() returns trigger language plpgsql security definer set search_path = '' as
        $$ begin if (select count(*) from app.invoice_tags) > 10000 then raise 'full'; end if; return null; end $$;
      create trigger count_tags after insert on app.invoice_tags for each row execute function app.count_tags()`,
    doctor: ['0069_definer_trigger_not_listed app.count_tags()'],
  },
  {
    table: 'folders',
    flaw: 'empties the tenant with the parent',
    change: [['on delete restrict', 'on delete set null']],
    doctor: ['0125_foreign_key_nulls_tenant folders_parent_fkey on app.folders'],
  },
  {
    table: 'folders',
    flaw: 'may be read by strangers',
    before: 'grant select on app.folders to anon',
    doctor: ['0022_anon_grant table app.folders'],
  },
  {
    table: 'bookings',
    flaw: 'checks a row against what the session says',
    change: [['check (price >= 0)', `check (price >= current_setting('app.least_price')::numeric)`]],
    doctor: ['0073_setting_read bookings_price_not_negative on app.bookings reads app.least_price'],
  },
  {
    table: 'bookings',
    flaw: 'has a policy for updating from before, which has no check',
    before: 'create policy "Porters move guests" on app.bookings for update to tenant_user using (price is not null)',
    doctor: [
      '0007_policy_without_check "Porters move guests" on app.bookings',
      '0010_policy_not_sealed "Porters move guests" on app.bookings',
      '0020_multiple_permissive_policies app.bookings for tenant_user (update)',
    ],
    prove: {
      only: { relations: ['v1.bookings'], verbs: ['update'] },
      at: /^v1\.bookings · update · \w+ · (?:row|move)/,
    },
  },
];
