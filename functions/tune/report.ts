import { colours, table } from '../cli/output.ts';
import type { Outcome } from './build.ts';
import type { Made } from './made.ts';
import type { Verdict } from './prune.ts';
import type { Survey } from './survey.ts';
import type { Measurement } from './types.ts';

const percent = (share: number | null) => (share === null ? '?' : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`);
const count = (value: number) => Math.round(value).toLocaleString('en');
const ms = (value: number) => (value >= 10 ? value.toFixed(0) : value.toFixed(2));

const sum = (list: readonly Measurement[] | null, of: 'ms' | 'blocks') =>
  (list ?? []).reduce((total, one) => total + one[of], 0);

/** `48 → 0.21 ms, 2,640 → 24 blocks`: of all statements that an object is for. */
function change(before: readonly Measurement[] | null, after: readonly Measurement[] | null): string {
  if (!before?.length || !after?.length) return '';
  const [first] = after;
  const expects =
    before[0]?.estimated === undefined || first?.estimated === undefined
      ? ''
      : `; expects ${count(before[0].estimated)} → ${count(first.estimated)} of ${count(first.matching ?? 0)}`;
  return `${ms(sum(before, 'ms'))} → ${ms(sum(after, 'ms'))} ms, ${count(sum(before, 'blocks'))} → ${count(sum(after, 'blocks'))} blocks${expects}`;
}

function tenantTable({ tenants, usages }: Survey): string {
  const rows = tenants.map(({ tenant_id, partition, rows: own, share, times, work }) => {
    const usage = usages.find((one) => one.tenant_id === tenant_id);
    return [
      ...[tenant_id, partition, count(own), percent(share), `${count(times)} ×`, percent(work)],
      usage ? `${percent(usage.work)}${usage.time === null ? '' : `, ${percent(usage.time)} of time`}` : '',
    ];
  });
  return table(['tenant', 'partition', 'rows', 'of table', 'of average', 'work there', 'work of all'], rows);
}

function proposalLines({ served }: Survey): string[] {
  const { bold, dim, yellow } = colours();
  return served.flatMap(({ proposal }) => [
    `${bold(proposal.id)}  ${proposal.tenant_id}${proposal.manual ? yellow('  by hand') : ''}`,
    `  ${proposal.definition}`,
    dim(`  why   ${proposal.reason}`),
    dim(`  gain  ${proposal.gain}`),
    dim(`  cost  ${proposal.cost}`),
  ]);
}

/** Our own measurements are no use. */
const lastUse = ({ days_since_scan: days }: Made) => (days === null ? 'not yet' : `${Math.floor(days)} d ago`);

function madeTable(made: readonly Made[]): string {
  const rows = made.map((one) => [
    ...[one.id, one.tenant_id, one.object, `${one.days} d`, one.kind === 'index' ? lastUse(one) : ''],
    change(one.before, one.after),
  ]);
  return table(['made', 'tenant', 'object', 'age', 'used', 'before → after'], rows);
}

const tenantIndex = /where tenant_id = /;

function rejectionLines({ rejected }: Survey): string[] {
  if (rejected.length === 0) return [];
  const partial = rejected.filter(({ definition }) => tenantIndex.test(definition)).length;
  const tried = `${rejected.length} other indexes were tried, and are not worth having: --json has them, and why.`;
  const why = `${partial} of them were for the tenant alone (where tenant_id = …): the tenant is known when a statement runs, not when it is planned.`;
  return [tried, ...(partial > 0 ? [why] : [])];
}

/** What `rowhouse tune` says. */
export function surveyReport(survey: Survey): string {
  const { bold, dim, yellow } = colours();
  const { tenants, served, made, leftovers, notes } = survey;
  const lines: string[] = [];
  lines.push(tenants.length > 0 ? tenantTable(survey) : 'No tenant is much larger than the others of a table.');
  if (served.length > 0) lines.push('', bold('Proposed'), ...proposalLines(survey));
  else if (tenants.length > 0) lines.push('', 'Nothing to propose.');
  lines.push(...rejectionLines(survey).map(dim));
  if (made.length > 0) lines.push('', madeTable(made));
  for (const object of leftovers) lines.push(yellow(`${object} was not built to its end: rowhouse tune --prune`));
  lines.push(...notes.map(yellow));
  if (served.some(({ proposal }) => !proposal.manual))
    lines.push(
      '',
      dim('rowhouse tune --apply            all of it, after asking'),
      dim('rowhouse tune --apply --only ID --at 02:00-05:00'),
    );
  return lines.join('\n');
}

export const surveyJson = ({ tenants, usages, recording, served, rejected, made, leftovers, notes }: Survey) => ({
  tenants,
  usages,
  statements: { source: recording.source, read: recording.statements.length, unread: recording.unread },
  proposals: served.map(({ proposal }) => proposal),
  ...{ rejected, made, leftovers, notes },
});

/** What `rowhouse tune --apply` says of what became of each. */
export function outcomeReport(outcomes: readonly Outcome[]): string {
  const { green, yellow, red } = colours();
  const colour = { built: green, 'taken back': yellow, manual: yellow, late: yellow, interrupted: yellow, failed: red };
  const rows = outcomes.map(({ id, tenant_id, object, outcome, detail, before, after }) => [
    ...[id, tenant_id, object, colour[outcome](outcome)],
    [change(before, after), detail].filter((part) => part !== '').join('; '),
  ]);
  return table(['id', 'tenant', 'object', 'outcome', 'before → after'], rows);
}

/** What `rowhouse tune --prune` says. */
export function verdictReport(verdicts: readonly Verdict[]): string {
  if (verdicts.length === 0) return 'Nothing was made here.';
  const { green, yellow } = colours();
  const rows = verdicts.map(({ id, tenant_id, object, verdict, reason }) => [
    ...[id ?? '', tenant_id ?? '', object, verdict === 'keep' ? green(verdict) : yellow(verdict), reason],
  ]);
  return table(['made', 'tenant', 'object', 'verdict', 'because'], rows);
}
