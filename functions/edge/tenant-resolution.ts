import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { RowhouseError } from '../errors.ts';
import type { Stage } from './pipeline.ts';
import type { Admit, Settings } from './settings.ts';

export interface Hosts {
  /** The tenant whose host this is; null for the deployment's own hosts. @throws RowhouseError tenant_unknown */
  tenantOf(host: string | undefined): string | null | Promise<string | null>;
  /**
   * The same for whoever has no token: hosts that are nobody's are the deployment's own, so that nobody learns which tenants there are.
   * @param admit is asked before the database is, and throws where it may not be
   */
  tenantForStranger(host: string | undefined, admit: Admit): string | null | Promise<string | null>;
}

/** A name without its port, in lower case; an IPv6 address keeps its brackets. */
function nameOf(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '');
}

/**
 * Tells tenants' hosts from the deployment's own: addresses, localhost, names without a dot, the public URL's, and the domain itself.
 * @param tenantDomain tenants are reached at `<slug>.<tenantDomain>`
 */
export function createHosts(
  settings: Pick<Settings, 'hostTenant'>,
  { tenantDomain, publicUrl }: { tenantDomain: string | undefined; publicUrl: string | undefined },
): Hosts {
  const own = new Set([tenantDomain, publicUrl && new URL(publicUrl).hostname]);
  let lastOwn: string | undefined;

  async function lookUp(name: string): Promise<string | null> {
    const tenantId = await settings.hostTenant(name);
    if (tenantId === null && tenantDomain && name.endsWith(`.${tenantDomain}`))
      throw new RowhouseError('tenant_unknown');
    return tenantId;
  }

  /** Nothing for the deployment's own. */
  function foreignNameOf(host: string | undefined): string | undefined {
    // Nearly every request comes by the same one.
    if (host === undefined || host === lastOwn) return undefined;
    const name = nameOf(host);
    if (name.includes('.') && !name.startsWith('[') && isIP(name) === 0 && !own.has(name)) return name;
    lastOwn = host;
    return undefined;
  }

  return {
    tenantOf(host) {
      const name = foreignNameOf(host);
      return name === undefined ? null : lookUp(name);
    },
    tenantForStranger(host, admit) {
      const name = foreignNameOf(host);
      return name === undefined ? null : settings.hostTenant(name, admit);
    },
  };
}

/** @throws RowhouseError tenant_mismatch, tenant_unknown unless X-Tenant-Id and a tenant's host, where there are such, name this tenant */
export function checkAgreement(
  hosts: Hosts,
  headers: IncomingHttpHeaders,
  tenantId: string | null,
): void | Promise<void> {
  const asked = headers['x-tenant-id'];
  if (asked !== undefined && asked !== tenantId) {
    throw new RowhouseError('tenant_mismatch', { detail: 'X-Tenant-Id names another tenant.' });
  }
  const check = (ofHost: string | null) => {
    if (ofHost !== null && ofHost !== tenantId) {
      throw new RowhouseError('tenant_mismatch', { detail: "The host is another tenant's." });
    }
  };
  const found = hosts.tenantOf(headers.host);
  return found instanceof Promise ? found.then(check) : check(found);
}

/**
 * The token says which tenant; a tenant's host and X-Tenant-Id have to agree with it. A suspended tenant is refused by the gate, whose
 * knowledge is never old.
 * @throws RowhouseError tenant_mismatch, tenant_unknown, tenant_required
 */
export function resolveTenant(hosts: Hosts): Stage {
  return async (exchange, next) => {
    const { caller, headers, schema, replyHeaders } = exchange;
    if (!caller) return next();
    const { tenantId } = caller;
    const checking = checkAgreement(hosts, headers, tenantId);
    if (checking) await checking;
    if (tenantId === null && schema === 'v1') {
      throw new RowhouseError('tenant_required', { hint: "Use a tenant's token; an operator's API is /admin/v1." });
    }
    const answer = await next();
    // Only where the gate let the token in: until then its tenant is a claim.
    if (tenantId !== null && answer.status !== 401 && answer.status !== 403) replyHeaders['x-tenant-id'] = tenantId;
    return answer;
  };
}

/** The same for a token that nobody has verified yet: what it claims is held against the request, and for the database to believe. */
export async function checkClaimedTenant(hosts: Hosts, headers: IncomingHttpHeaders, token: string): Promise<void> {
  let claims: { tenant_id?: unknown };
  try {
    claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) ?? {};
  } catch {
    throw new RowhouseError('token_invalid');
  }
  await checkAgreement(hosts, headers, typeof claims.tenant_id === 'string' ? claims.tenant_id : null);
}
