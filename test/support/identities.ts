import type { Pool } from '../../functions/database.ts';

export type TenantRole = 'viewer' | 'member' | 'admin' | 'owner';
const ROLES: readonly TenantRole[] = ['owner', 'admin', 'member', 'viewer'];

export interface TokenOptions {
  tenant: string;
  /** The subject. Default: the role's name, a member that createTenant() made. */
  user?: string;
  /** Default owner. */
  role?: TenantRole;
  /** A PostgreSQL interval. Default one hour. */
  ttl?: string;
}

export interface Identities {
  /** Creates a tenant with four members named like their roles: owner, admin, member, viewer. */
  createTenant(id: string): Promise<void>;
  addMember(tenant: string, user: string, role: TenantRole): Promise<void>;
  /** A token of the tenant. It does not make the user a member: a stranger's token is a probe of its own. */
  token(options: TokenOptions): Promise<string>;
  /** A token of an operator, who is made one. */
  operatorToken(subject?: string): Promise<string>;
}

export function identities(migrator: Pool): Identities {
  const addMember = async (tenant: string, user: string, role: TenantRole) => {
    await migrator.query('insert into tenancy.members (tenant_id, user_id, role) values ($1, $2, $3)', [
      tenant,
      user,
      role,
    ]);
  };
  const issue = async (...claims: [string | null, string, string | null, string, string]) => {
    const { rows } = await migrator.query<{ token: string }>(
      'select auth.issue_token($1, $2, $3, $4, $5) as token',
      claims,
    );
    return rows[0]?.token ?? '';
  };
  return {
    addMember,
    async createTenant(id) {
      const slug = id.replaceAll('_', '-').replace(/-+$/, '');
      await migrator.query('select tenancy.create_tenant($1, $2, $3, $4)', [id, slug, id, 'owner']);
      for (const role of ROLES.slice(1)) await addMember(id, role, role);
    },
    token: ({ tenant, role = 'owner', user = role, ttl = '1 hour' }) => issue(tenant, user, role, ttl, 'tenant_user'),
    async operatorToken(subject = 'operator') {
      await migrator.query('insert into auth.operators (subject) values ($1) on conflict do nothing', [subject]);
      return issue(null, subject, null, '1 hour', 'operator');
    },
  };
}
