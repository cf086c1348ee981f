import type { Refusals } from './types.ts';

const plain = (sql: string) => () => sql;

/** What the ledger's tables take no row of. */
export const LEDGER_VALUES = {
  'ledger.consumers': [
    ['23505 consumers_pkey', plain('insert into ledger.consumers select * from ledger.consumers limit 1')],
    ['23514 consumers_consumer_form', plain(`insert into ledger.consumers (consumer) values ('Prove')`)],
  ],
  'ledger.event_sources': [
    ['23505 event_sources_pkey', plain('insert into ledger.event_sources select * from ledger.event_sources limit 1')],
    [
      '23514 event_sources_read_role_known',
      plain(`insert into ledger.event_sources (name, read_role, schema) values ('prove', 'root', '{}')`),
    ],
    [
      '23514 event_sources_version_positive',
      plain(`insert into ledger.event_sources (name, version, schema) values ('prove', 0, '{}')`),
    ],
    [
      '23514 event_sources_versions_begin',
      plain(`insert into ledger.event_sources (name, version, schema) values ('prove', 2, '{}')`),
    ],
    [
      '23514 event_sources_table_has_columns',
      plain(`insert into ledger.event_sources (name, columns, schema) values ('prove', '{id}', '{}')`),
    ],
  ],
  'ledger.past_event_schemas': [
    [
      '23505 past_event_schemas_pkey',
      plain(
        `insert into ledger.past_event_schemas (name, version, schema) values ('prove', 1, '{}'), ('prove', 1, '{}')`,
      ),
    ],
  ],
  'ledger.entries': [
    [
      '23514 entries_operation_known',
      (facts) =>
        `insert into ledger.entries (tenant_id, slot, table_name, operation, row_id) values ('${facts.world.tenants.A}', 0, 'prove', 'other', 'x')`,
    ],
    [
      '23514 entries_slot_of_tenant',
      (facts) =>
        `insert into ledger.entries (tenant_id, slot, table_name, operation, row_id)
         select id, (ledger.slot(id) + 1) % 16, 'prove', 'insert', 'x' from tenancy.tenants where id = '${facts.world.tenants.A}'`,
    ],
  ],
} satisfies Readonly<Record<string, Refusals>>;
