import type { Finding, ProveOptions } from '../../../functions/prove/types.ts';

/** Something that people got wrong in earnest, made on the reference schema and the six tables of a DBA. */
export interface Mistake {
  /** A sentence that whoever made it would recognise. */
  name: string;
  /** Where it comes from: the advisory, the rule of another tool, the project. */
  source: string;
  /** Run as the owner; after `reset role`, as a superuser. */
  plant: string;
  /** What the doctor calls it: lint and object. Empty where nothing in the catalogue tells. */
  doctor: string[];
  /** What the prover finds; or why it can be reached neither over HTTP nor with a login's password. */
  prove: Caught | { unreachable: string };
}

interface Caught {
  uproot: string;
  /** Who plants it. */
  by?: 'migrator' | 'admin';
  /** What is the whole cluster's is planted in one that no other test works in. */
  where?: 'a cluster of its own';
  only: NonNullable<ProveOptions['only']>;
  /** The finding's name. */
  at: RegExp;
  /** Default: leak. */
  kind?: Finding['kind'];
  /** Also with each login's password. */
  beside?: 'sessions';
}

export const OWN_ROWS =
  '(select request.tenant_id()) = any (array[tenant_id::text]) and tenant_id = request.tenant_id()';
const MAY_READ = `${OWN_ROWS} and (select request.has_tenant_role('viewer'))`;
export const MAY_WRITE = `${OWN_ROWS} and (select request.has_tenant_role('member'))`;

export const READ_POLICY = 'A member reads the rows of their tenant';
export const ADD_POLICY = 'A writer adds rows to their tenant';
export const CHANGE_POLICY = 'A writer changes rows of their tenant';

/** The condition of a table's policy for reading as it is and, in `uproot`, as protect() made it. */
export const reading = (table: string, condition: string) => ({
  plant: `alter policy "${READ_POLICY}" on app.${table} using (${condition})`,
  uproot: `alter policy "${READ_POLICY}" on app.${table} using (${MAY_READ})`,
});

/** A table and its view as they are written by hand, with what more it takes. */
export const byHand = (name: string, columns: string, more: readonly string[] = []): string =>
  [
    `create table app.${name} (tenant_id tenancy.tenant_id not null default request.tenant_id(), ${columns})`,
    `create view v1.${name} with (security_invoker = true) as select * from app.${name}`,
    `grant select, insert, update, delete on app.${name}, v1.${name} to tenant_user`,
    ...more,
  ].join(';\n');

/** Row-level security done by hand, and rightly so. */
export const secured = (name: string): string[] => [
  `alter table app.${name} enable row level security, force row level security`,
  `create policy "Own rows" on app.${name} to tenant_user using (${MAY_WRITE}) with check (${MAY_WRITE})`,
];

export const drop = (name: string): string => `drop view v1.${name}; drop table app.${name}`;
