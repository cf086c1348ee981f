import { byHand, drop, type Mistake, secured } from './mistake.ts';

const byId = (name: string) => `id uuid not null default uuidv7(), constraint ${name}_pkey primary key (tenant_id, id)`;

export const KEY_MISTAKES: Mistake[] = [
  {
    name: 'a code is unique among all tenants, and the error for a duplicate tells of another’s row',
    source: 'postgresql.org ddl-rowsecurity (covert channel); landscape 1.3',
    plant: byHand(
      'vouchers',
      `${byId('vouchers')}, code text not null, constraint vouchers_code_key unique (code)`,
      secured('vouchers'),
    ),
    doctor: ['0051_key_not_tenant_leading app.vouchers_code_key'],
    prove: {
      uproot: drop('vouchers'),
      only: { relations: ['v1.vouchers'], families: ['unique'] },
      at: /^v1\.vouchers · insert · owner · unique · direct · app\.vouchers_code_key/,
    },
  },
  {
    name: 'a row can be shared with a tenant by name, and the foreign key tells which tenants there are',
    source: 'postgresql.org ddl-rowsecurity (referential checks); landscape 1.3',
    plant: byHand(
      'shares',
      `${byId('shares')}, shared_with tenancy.tenant_id not null, constraint shares_with_fkey foreign key (shared_with) references tenancy.tenants (id)`,
      secured('shares'),
    ),
    doctor: ['0053_foreign_key_across_tenants shares_with_fkey on app.shares'],
    prove: {
      uproot: drop('shares'),
      only: { relations: ['v1.shares'], families: ['foreign key'] },
      at: /^v1\.shares · insert · owner · foreign key · direct · shares_with_fkey/,
    },
  },
  {
    name: 'invoice numbers come from one sequence for all tenants',
    source: 'landscape 1.3 (shared state); agor#2019',
    plant: 'create sequence app.invoice_numbers; grant usage on sequence app.invoice_numbers to tenant_user',
    doctor: ['0027_sequence_granted app.invoice_numbers for tenant_user'],
    prove: { unreachable: 'a sequence is no relation of the API, and the number says how many, not what' },
  },
  {
    name: 'an index serves all tenants at once',
    source: 'Supabase test 1 (171 ms without a leading column); pgrls PERF003; supabase#49017',
    plant: 'create index invoices_customer_idx on app.invoices (customer)',
    doctor: ['0052_index_not_tenant_leading app.invoices_customer_idx'],
    prove: { unreachable: 'it is slow, and right' },
  },
];
