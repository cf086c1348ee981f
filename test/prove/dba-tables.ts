import type { TestStack } from '../support/stack.ts';

export const DBA_TYPES = `
  create type app.booking_state as enum ('requested', 'confirmed');
  create domain app.currency as text constraint currency_form check (value ~ '^[A-Z]{3}$');
  grant usage on type app.booking_state to tenant_user;
  grant usage on domain app.currency to tenant_user`;

/** Six tables as a DBA would write them, each after those that it refers to. */
export const DBA_TABLE = {
  invoices: `
    create table app.invoices (
      tenant_id tenancy.tenant_id not null,
      id uuid not null default uuidv7(),
      number text not null,
      customer text not null,
      currency app.currency not null default 'EUR',
      issued_on date not null default current_date,
      due_on date not null,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      constraint invoices_pkey primary key (tenant_id, id),
      constraint invoices_number_key unique (tenant_id, number),
      constraint invoices_number_form check (number ~ '^INV-[0-9]{4,8}$'),
      constraint invoices_due_after_issue check (due_on >= issued_on)
    ) partition by hash (tenant_id);
    comment on table app.invoices is 'Invoices'`,

  invoice_lines: `
    create table app.invoice_lines (
      tenant_id tenancy.tenant_id not null,
      invoice_id uuid not null,
      position integer not null,
      description text not null,
      quantity numeric(10, 2) not null,
      unit_price numeric(12, 2) not null,
      total numeric generated always as (quantity * unit_price) stored,
      constraint invoice_lines_pkey primary key (tenant_id, invoice_id, position),
      constraint invoice_lines_position_positive check (position > 0),
      constraint invoice_lines_quantity_range check (quantity > 0 and quantity <= 1000),
      constraint invoice_lines_invoice_fkey foreign key (tenant_id, invoice_id) references app.invoices (tenant_id, id) on delete cascade
    ) partition by hash (tenant_id);
    comment on table app.invoice_lines is 'Lines of invoices'`,

  tags: `
    create table app.tags (
      tenant_id tenancy.tenant_id not null,
      id bigint generated always as identity,
      label varchar(24) not null,
      colour text not null default '#000000',
      constraint tags_pkey primary key (tenant_id, id),
      constraint tags_label_key unique (tenant_id, label),
      constraint tags_colour_form check (colour ~ '^#[0-9a-f]{6}$')
    ) partition by hash (tenant_id);
    comment on table app.tags is 'Tags'`,

  invoice_tags: `
    create table app.invoice_tags (
      tenant_id tenancy.tenant_id not null,
      invoice_id uuid not null,
      tag_id bigint not null,
      constraint invoice_tags_pkey primary key (tenant_id, invoice_id, tag_id),
      constraint invoice_tags_invoice_fkey foreign key (tenant_id, invoice_id) references app.invoices (tenant_id, id) on delete cascade,
      constraint invoice_tags_tag_fkey foreign key (tenant_id, tag_id) references app.tags (tenant_id, id) on delete restrict
    ) partition by hash (tenant_id);
    create index invoice_tags_tag_idx on app.invoice_tags (tenant_id, tag_id);
    comment on table app.invoice_tags is 'Tags of invoices'`,

  folders: `
    create table app.folders (
      tenant_id tenancy.tenant_id not null,
      id uuid not null default uuidv7(),
      parent_id uuid,
      name text not null,
      constraint folders_pkey primary key (tenant_id, id),
      constraint folders_parent_fkey foreign key (tenant_id, parent_id) references app.folders (tenant_id, id) on delete restrict,
      constraint folders_not_its_own_parent check (parent_id <> id)
    ) partition by hash (tenant_id);
    create index folders_parent_idx on app.folders (tenant_id, parent_id);
    comment on table app.folders is 'Folders'`,

  bookings: `
    create table app.bookings (
      tenant_id tenancy.tenant_id not null,
      id uuid not null default uuidv7(),
      room integer not null,
      during tstzrange not null,
      state app.booking_state not null default 'requested',
      price_currency app.currency not null,
      price numeric(8, 2) not null,
      guests text[] not null default '{}',
      extras jsonb not null default '{}',
      summary text generated always as ('room ' || room) stored,
      constraint bookings_pkey primary key (tenant_id, id),
      constraint bookings_room_range check (room between 1 and 400),
      constraint bookings_price_not_negative check (price >= 0),
      constraint bookings_has_guests check (cardinality(guests) between 1 and 8),
      constraint bookings_extras_object check (jsonb_typeof(extras) = 'object'),
      constraint bookings_during_bounded check (not isempty(during) and not lower_inf(during) and not upper_inf(during)),
      constraint bookings_no_overlap exclude using gist (tenant_id with =, room with =, during with &&)
    ) partition by hash (tenant_id);
    comment on table app.bookings is 'Bookings'`,
};
export type DbaTable = keyof typeof DBA_TABLE;

/** Behind the wall by one call each, and by nothing else. */
export const protectDbaTables = (names: readonly string[]): string =>
  `select tenancy.protect(name::regclass, partitions => 4, expose => true) from unnest('{${names.map((name) => `app.${name}`).join(',')}}'::text[]) as name`;

const NAMES = Object.keys(DBA_TABLE);

export const DBA_VIEWS = NAMES.map((name) => `v1.${name}`).toSorted();

export async function addDbaTables(stack: TestStack): Promise<void> {
  await stack.admin.query('create extension if not exists btree_gist with schema extensions');
  const statements = [DBA_TYPES, ...Object.values(DBA_TABLE), protectDbaTables(NAMES), `notify pgrst, 'reload schema'`];
  await stack.migrator.query(statements.join(';\n'));
}
