import { text } from 'node:stream/consumers';
import { Command } from 'commander';
import { RowhouseError } from '../../errors.ts';
import { type ExplainedLimits, type Explanation, explainRequest } from '../../explain/explain.ts';
import { printable } from '../../explain/gate.ts';
import { parseRequest } from '../../explain/request.ts';
import { atDatabase, type DatabaseOptions, withDatabaseOptions } from '../database.ts';
import { colours, print } from '../output.ts';

interface ExplainOptions extends DatabaseOptions {
  token: string;
  body?: string;
}

const EXAMPLES = `
The login has to be one that can become the token's role: authenticator, which is also what a running stack gives.

Examples:
  $ rowhouse explain --token "$T" GET '/v1/jobs?id=eq.019a…'
  $ rowhouse explain --token "$T" PATCH '/v1/files?id=eq.019a…' --body '{"status": "stored"}'
  $ rowhouse token --tenant t_acme --user ann | rowhouse explain --token - POST /v1/jobs --body '{"type": "csv.validate"}' --json`;

/** `explain`: why a request was denied, or its answer empty. */
export function explainCommand(): Command {
  return withDatabaseOptions(
    new Command('explain').description('say why a request is allowed, denied or empty: token, gate, grants, policies'),
  )
    .argument('<method>', 'GET, POST, PATCH, PUT or DELETE')
    .argument('<path>', "as the client sent it, such as '/v1/jobs?id=eq.…'")
    .requiredOption('--token <token>', 'the bearer token of the request, or - to read it from standard input')
    .option('--body <json>', 'the JSON object that was sent')
    .addHelpText('after', EXAMPLES)
    .action(async (method: string, path: string, options: ExplainOptions) => {
      const request = parseRequest(method, path, options.body);
      const token = (options.token === '-' ? await text(process.stdin) : options.token)
        .trim()
        .replace(/^Bearer\s+/i, '');
      if (token === '') throw new RowhouseError('usage_invalid', { detail: 'the token is empty' });
      const explanation = await atDatabase(options, (url) => explainRequest(url, token, request), 'authenticator');
      print(options.json, explanation, () => tell(explanation));
    });
}

function tell({ request, claims, claims_verified, gate, context, ...access }: Explanation): string {
  const { bold, dim, green, red, yellow } = colours();
  const mark = (passed: boolean | null) => (passed === null ? yellow('?') : passed ? green('✓') : red('✗'));
  const verdict = { true: green('allowed'), false: red('denied'), null: yellow('it depends') }[`${access.allowed}`];
  const lines = [
    `${bold(`${request.method} ${request.relation}`)}: ${verdict}`,
    `  ${access.summary}`,
    `  → ${access.next}`,
  ];
  if (request.ignored.length > 0) lines.push(dim(`  not looked at: ${request.ignored.join('  ')}`));

  lines.push(bold(claims_verified ? 'Token' : 'Token (says of itself: nobody vouches for it)'));
  for (const [claim, value] of Object.entries(claims ?? {}))
    lines.push(`  ${printable(claim)}: ${shown(claim, value)}`);
  if (claims === null) lines.push('  not readable');
  lines.push(bold('Gate'));
  for (const { check, passed, sentence } of gate) lines.push(`  ${mark(passed)} ${check}: ${sentence}`);
  if (context?.tenant_role) {
    lines.push(
      `  effective role: ${context.tenant_role} (membership ${context.membership}, token ${printable(claims?.tenant_role)})`,
    );
  }
  if (access.grants.length > 0) lines.push(bold('Grants'));
  for (const { on, verb, granted, columns, refused_columns } of access.grants) {
    const refused = refused_columns ?? [];
    const scope = refused.length > 0 ? `not: ${refused.join(', ')}; only: ${columns?.join(', ')}` : columns?.join(', ');
    lines.push(`  ${mark(granted && refused.length === 0)} ${verb} on ${on}${scope ? dim(` (${scope})`) : ''}`);
  }
  if (access.row) lines.push(bold('Row'), `  ${mark(access.row.found)} ${access.row.sentence}`);
  if (access.policies.length > 0) lines.push(bold('Policies'));
  for (const policy of access.policies) {
    lines.push(`  ${mark(policy.passes)} ${policy.policy ?? 'none'} ${dim(`(${policy.kind}, ${policy.verb})`)}`);
    if (policy.using) lines.push(dim(`    using ${policy.using}: ${outcome(policy.using_passes)}`));
    if (policy.check) lines.push(dim(`    with check ${policy.check}: ${outcome(policy.check_passes)}`));
  }
  if (access.limits) lines.push(bold('Limits'), ...limitLines(access.limits, access.left).map((line) => `  ${line}`));
  return lines.join('\n');
}

function limitLines(limits: ExplainedLimits, left: Record<string, number> = {}): string[] {
  const { rates, shadow, concurrency, statement_timeout_ms } = limits;
  return [
    ...Object.entries(rates).map(
      ([kind, { rate, burst }]) => `${kind}: ${left[kind] ?? '?'} of ${burst} left, ${rate} a second`,
    ),
    `${concurrency} requests at once, ${statement_timeout_ms / 1000} s for a statement${shadow ? '; counted, not enforced' : ''}`,
  ];
}

const outcome = (passes: boolean | null | undefined) => (passes == null ? 'depends' : passes ? 'passes' : 'fails');

function shown(claim: string, value: unknown): string {
  const time = typeof value === 'number' && ['exp', 'iat', 'nbf'].includes(claim) ? new Date(value * 1000) : undefined;
  if (time && !Number.isNaN(time.getTime())) return time.toISOString();
  return printable(typeof value === 'string' ? value : JSON.stringify(value));
}
