import type { Relation } from '../catalogue.ts';
import type { Lab } from '../lab.ts';
import type { Probe, Role } from '../types.ts';
import { doorsOf } from './ask.ts';
import { readingProbe } from './reading.ts';

/** What a client, or a proxy in front of us that forgot to, might send to be taken for somebody else. */
export function headerProbes(lab: Lab, relation: Relation, role: Role): Probe[] {
  const { A, B } = lab.world.tenants;
  const subject = lab.world.subject('B', 'owner');
  const steering: [title: string, headers: Record<string, string>, refused?: string][] = [
    ['X-Tenant-Id', { 'x-tenant-id': B }, 'X-Tenant-Id names another tenant'],
    ['X-Tenant-Id, two', { 'x-tenant-id': `${A}, ${B}` }, 'X-Tenant-Id names another tenant'],
    [
      'X-Forwarded-*',
      {
        'x-forwarded-host': `${B}.example.test`,
        'x-forwarded-for': '127.0.0.1',
        'x-forwarded-prefix': `/${B}`,
        forwarded: `for=127.0.0.1;host=${B}`,
      },
    ],
    [
      'role headers',
      { role: 'rowhouse_owner', 'x-role': 'owner', 'x-user-role': 'operator', 'x-postgrest-role': 'rowhouse_owner' },
    ],
    [
      'user headers',
      { 'x-user': subject, 'x-user-id': subject, 'x-subject': subject, 'x-authenticated-user': subject },
    ],
    [
      'claims',
      {
        'x-jwt-claims': JSON.stringify({ tenant_id: B, role: 'tenant_user', sub: subject }),
        'request.jwt.claims': JSON.stringify({ tenant_id: B }),
      },
    ],
    ['cookie', { cookie: `tenant_id=${B}; token=${lab.world.tokens.get('forged_tampered_owner') ?? 'x'}` }],
    ['Prefer: tx=rollback', { prefer: 'tx=rollback, handling=lenient, timezone=UTC' }],
    ['method override', { 'x-http-method-override': 'DELETE', 'x-method-override': 'PATCH' }],
    [
      'URL override',
      { 'x-original-url': `/rpc/whoami?tenant_id=${B}`, 'x-rewrite-url': `/${relation.name}?tenant_id=eq.${B}` },
    ],
    ...['app', 'auth', 'tenancy', 'ledger', 'pgboss', 'pg_catalog', 'information_schema'].map(
      (schema): [string, Record<string, string>, string] => [
        `Accept-Profile: ${schema}`,
        { 'accept-profile': schema },
        `the schema ${schema} is not served`,
      ],
    ),
  ];
  const chosen = lab.options.quick
    ? [0, 2, 3, 10].flatMap((nth) => [steering[nth] as (typeof steering)[number]])
    : steering;
  return doorsOf(lab, role, true).flatMap((door) =>
    chosen.map(([title, attackHeaders, refused]) =>
      readingProbe(lab, relation, role, door, {
        family: 'header',
        title,
        query: ['select=*'],
        attackHeaders,
        // The edge drops headers that are not a client's to send; then the answer is the asker's own.
        ...(refused && door === 'direct' && !(role === 'operator' && title.startsWith('X-Tenant')) ? { refused } : {}),
      }),
    ),
  );
}
