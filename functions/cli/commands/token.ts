import { Command, Option } from 'commander';
import type { Client } from 'pg';
import { RowhouseError } from '../../errors.ts';
import { parseDuration } from '../arguments.ts';
import { type DatabaseOptions, inDatabase, withDatabaseOptions } from '../database.ts';
import { print } from '../output.ts';

interface TokenOptions extends DatabaseOptions {
  tenant?: string;
  user: string;
  role?: string;
  ttl: number;
  operator?: boolean;
}

const EXAMPLES = `
Examples:
  $ rowhouse token --tenant t_acme --user ada
  $ rowhouse token --tenant t_acme --user ada --role viewer --ttl 15m
  $ rowhouse token --operator --user operator
  $ curl -H "Authorization: Bearer $(rowhouse token --tenant t_acme --user ada)" http://127.0.0.1:8080/v1/jobs`;

/** `token`: prints a token, and nothing else, on standard output. */
export function tokenCommand(): Command {
  return withDatabaseOptions(
    new Command('token')
      .description("print a token for a tenant's member, or for an operator")
      .option('--tenant <id>', 'tenant that the token opens')
      .requiredOption('--user <subject>', 'who will hold it')
      .option('--role <role>', "the most that it may carry: viewer, member, admin or owner (default: the member's own)")
      .addOption(
        new Option('--ttl <duration>', 'how long it lives, such as 15m, 12h or 7d; at most 31d')
          .argParser(parseDuration)
          .default(3600, '1h'),
      )
      .option('--operator', 'a token for the operator API, of no tenant'),
  )
    .addHelpText('after', EXAMPLES)
    .action(async (options: TokenOptions) => {
      if (Boolean(options.operator) === (options.tenant !== undefined) || (options.operator && options.role)) {
        throw new RowhouseError('usage_invalid', {
          detail: 'a token is either for --tenant, with a --role if wanted, or for --operator',
          hint: 'rowhouse token --help',
        });
      }
      const token = await inDatabase(options, (client) =>
        (options.operator ? operatorToken : memberToken)(client, options),
      );
      print(options.json, { token, expires_in: options.ttl }, () => token);
    });
}

async function issue(client: Client, { tenant, user, ttl }: TokenOptions, tenantRole: string | null, role: string) {
  const { rows } = await client.query<{ token: string }>(
    'select auth.issue_token($1, $2, $3, make_interval(secs => $4), $5) as token',
    [tenant ?? null, user, tenantRole, ttl, role],
  );
  return rows[0]?.token ?? '';
}

async function memberToken(client: Client, options: TokenOptions): Promise<string> {
  const { tenant, user, role } = options;
  const { rows } = await client.query<{ known: boolean; own: string | null; too_much: boolean | null }>(
    `select exists (select from tenancy.tenants where id = $1) as known, own,
       tenancy.role_rank($3) > tenancy.role_rank(own) as too_much
     from tenancy.member_role($1, $2) as own`,
    [tenant, user, role ?? null],
  );
  const member = rows[0];
  if (!member?.known) {
    throw new RowhouseError('tenant_unknown', {
      detail: `no tenant ${tenant}`,
      hint: 'List them with: rowhouse tenant list',
    });
  }
  if (member.own === null) {
    throw new RowhouseError('membership_required', {
      detail: `${user} is not a member of ${tenant}`,
      hint: `An admin of the tenant adds members with: POST /v1/members {"user_id": "${user}", "role": "member"}`,
    });
  }
  if (member.too_much) {
    throw new RowhouseError('role_insufficient', {
      detail: `${user} is ${member.own} of ${tenant}: a token cannot carry ${role}`,
      hint: 'Leave out --role, or name a lower one.',
    });
  }
  return issue(client, options, role ?? member.own, 'tenant_user');
}

async function operatorToken(client: Client, options: TokenOptions): Promise<string> {
  const { rowCount } = await client.query('select from auth.operators where subject = $1', [options.user]);
  if (!rowCount) {
    throw new RowhouseError('membership_required', {
      detail: `${options.user} is not an operator`,
      hint: 'Operators are the rows of auth.operators: insert into auth.operators (subject) values (…)',
    });
  }
  return issue(client, options, null, 'operator');
}
