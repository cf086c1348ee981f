import type { Refusals, RuleFacts } from './types.ts';

const plain = (sql: string) => () => sql;

const addBacklog = (slot: string) => (facts: RuleFacts) =>
  `insert into ledger.backlogs (tenant_id, consumer, slot, position)
   select id, 'prove', ${slot}, 0 from tenancy.tenants where id = '${facts.world.tenants.A}'`;

/** What the ledger's tables take no row of. */
export const LEDGER_VALUES = {
  'ledger.consumers': [
    ['23505 consumers_pkey', plain('insert into ledger.consumers select * from ledger.consumers limit 1')],
    ['23514 consumers_consumer_form', plain(`insert into ledger.consumers (consumer) values ('Prove')`)],
  ],
  'ledger.backlogs': [
    ['23505', (facts) => `${addBacklog('ledger.slot(id)')(facts)}; ${addBacklog('ledger.slot(id)')(facts)}`],
    ['23514 backlogs_slot_of_tenant', addBacklog('(ledger.slot(id) + 1) % 16')],
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
} satisfies Readonly<Record<string, Refusals>>;
