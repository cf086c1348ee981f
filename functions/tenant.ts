declare const tenantIdBrand: unique symbol;

/** A tenant's id. The database has the same set as domain tenancy.tenant_id; a test holds both against generated input. */
export type TenantId = string & { readonly [tenantIdBrand]: true };

const FORM = /^t_[a-z0-9][a-z0-9_]{0,46}$/;

export function isTenantId(value: unknown): value is TenantId {
  return typeof value === 'string' && FORM.test(value);
}
