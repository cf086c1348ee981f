import { RowhouseError } from './errors.ts';

declare const tenantIdBrand: unique symbol;

/** A tenant's id. The database has the same set as domain tenancy.tenant_id; a test holds both against generated input. */
export type TenantId = string & { readonly [tenantIdBrand]: true };

const FORM = /^t_[a-z0-9][a-z0-9_]{0,46}$/;

export function isTenantId(value: unknown): value is TenantId {
  return typeof value === 'string' && FORM.test(value);
}

/** @throws RowhouseError tenant_invalid */
export function parseTenantId(value: unknown): TenantId {
  if (isTenantId(value)) return value;
  throw new RowhouseError('tenant_invalid', {
    detail: 'not a tenant id',
    hint: 'a tenant id is t_, then 1 to 47 of a-z, 0-9 and _, the first one a letter or digit',
  });
}
