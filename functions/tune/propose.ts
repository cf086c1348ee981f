import type pg from 'pg';
import { definitionOf } from './candidates.ts';
import { readColumns } from './columns.ts';
import type { Measured } from './measure.ts';
import { measureNow } from './measure-now.ts';
import { idOf, objectName, shortNameOf } from './names.ts';
import type { Recorded, Recording } from './recorded.ts';
import { shapeName } from './shape.ts';
import type { Partition } from './skew.ts';
import { isWasteful, type TriedIndex, tryIndexes } from './try-index.ts';
import { TARGET, type TriedStatistics, tryStatistics } from './try-statistics.ts';
import type { Progress, Proposal, Rejection, Skew } from './types.ts';

/** Of each table, the lists that take most of the time. */
const MOST_STATEMENTS = 20;

export interface Served {
  proposal: Proposal;
  /** What it is for, and is measured by. */
  statements: Recorded[];
}

const ms = (value: number) => (value >= 10 ? value.toFixed(0) : value.toFixed(2));
const count = (value: number) => Math.round(value).toLocaleString('en');

/** Everybody whose rows are in the partition pays, with every write; an update that was HOT may be so no longer. */
function costOf({ rows, written, hot }: Partition, { bytes, sampled }: TriedIndex): string {
  const size = (bytes * Math.max(rows, sampled)) / Math.max(1, sampled) / 1024 ** 2;
  const hotPart = hot >= 0.01 ? `, ${Math.round(hot * 100)} % of the updates HOT` : '';
  return `about ${size < 10 ? size.toFixed(1) : count(size)} MB, and each write there: ${count(written)} so far${hotPart}`;
}

function indexProposal(skew: Skew, at: Partition, tried: readonly TriedIndex[], measured: Measured): Served {
  const { tenant_id, table, partition } = skew;
  const [one] = tried as [TriedIndex, ...TriedIndex[]];
  const definition = definitionOf(one.candidate);
  const calls = tried.reduce((sum, { statement }) => sum + statement.calls, 0);
  const id = idOf('index', `${partition} ${definition}`);
  const object = objectName(partition, id);
  return {
    proposal: {
      ...{ id, kind: 'index', tenant_id, table, partition, object, undo: null, manual: false },
      definition: `create index concurrently ${shortNameOf(object)} on ${partition} ${definition}`,
      reason: measured.cancelled
        ? `${one.before.statement} is cancelled after ${ms(measured.ms)} ms`
        : `${one.before.statement} reads ${count(measured.read)} rows to return ${count(measured.rows)}, in ${ms(measured.ms)} ms${calls > 0 ? `; ${count(calls)} calls` : ''}`,
      gain: `${ms(one.before.ms)} → ${ms(one.after.ms)} ms, ${count(one.before.blocks)} → ${count(one.after.blocks)} blocks on ${count(one.sampled)} of its rows`,
      cost: costOf(at, one),
    },
    statements: tried.map(({ statement }) => statement),
  };
}

function statisticsProposal(
  { tenant_id, table, partition }: Skew,
  tried: TriedStatistics,
  statement: Recorded,
): Served {
  const columns = tried.columns.map((column) => `"${column.replaceAll('"', '""')}"`).join(', ');
  const id = idOf(tried.kind, `${partition} ${columns}`);
  const isTarget = tried.kind === 'target';
  const object = isTarget ? `${partition}.${columns}` : objectName(partition, id);
  return {
    proposal: {
      ...{ id, kind: tried.kind, tenant_id, table, partition, object, manual: false },
      definition: isTarget
        ? `alter table ${partition} alter column ${columns} set statistics ${TARGET}`
        : `create statistics ${object} (ndistinct, dependencies) on ${columns} from ${partition}`,
      undo: isTarget ? `alter table ${partition} alter column ${columns} set statistics default` : null,
      reason: `of ${tried.statement} the planner expects ${count(tried.estimated)} rows; there are ${count(tried.matching)}`,
      gain: `it then expects ${count(tried.better)}`,
      cost: isTarget ? `ANALYZE reads up to ${count(300 * TARGET)} rows of the partition` : 'a moment of each ANALYZE',
    },
    statements: [statement],
  };
}

/** What would help one tenant in one partition, each of it tried. */
export async function proposeFor(
  client: pg.Client,
  skew: Skew,
  at: Partition,
  statements: readonly Recorded[],
  progress: Progress,
): Promise<{ served: Served[]; rejected: Rejection[] }> {
  const columns = await readColumns(client, skew.partition);
  const source = { table: skew.table, partition: skew.partition, rows: at.rows };
  const known = statements.filter(({ shape }) =>
    [...shape.conditions, ...shape.order].every(({ column }) => columns.has(column)),
  );
  progress(`${skew.tenant_id}: running ${known.length} lists of ${skew.table} as the tenant`);
  const measured = await measureNow(client, skew.tenant_id, known.slice(0, MOST_STATEMENTS), columns);
  const wasteful = [...measured].filter(([, one]) => isWasteful(one)).map(([statement]) => statement);
  const served: Served[] = [];
  let rejected: Rejection[] = [];
  if (wasteful.length > 0) {
    progress(`${skew.tenant_id}: trying indexes for ${wasteful.length} of them on a sample`);
    const tried = await tryIndexes(client, source, skew.tenant_id, columns, wasteful);
    rejected = tried.rejected;
    for (const same of Map.groupBy(tried.best, ({ candidate }) => definitionOf(candidate)).values()) {
      const now = same[0] && measured.get(same[0].statement);
      if (now) served.push(indexProposal(skew, at, same, now));
    }
  }
  for (const statement of measured.keys()) {
    if (statement.shape.conditions.length === 0) continue;
    progress(`${skew.tenant_id}: looking at the estimate of ${shapeName(statement.shape)}`);
    const tried = await tryStatistics(client, source, skew.tenant_id, columns, statement);
    if (tried) served.push(statisticsProposal(skew, tried, statement));
  }
  return { served: mergeEqual(served), rejected };
}

/** Two statements may ask for the same statistics. */
function mergeEqual(served: readonly Served[]): Served[] {
  const merged = new Map<string, Served>();
  for (const one of served) {
    const same = merged.get(one.proposal.id);
    if (same) same.statements.push(...one.statements);
    else merged.set(one.proposal.id, one);
  }
  return [...merged.values()];
}

/** The lists of a table's view, those that take most of the time first. */
export function listsOf({ statements }: Recording, views: readonly string[]): Recorded[] {
  return statements.filter(({ shape }) => views.includes(shape.relation));
}
