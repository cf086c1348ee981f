import type pg from 'pg';
import { invalidLeftovers, type Made, readMade } from './made.ts';
import { proposePools } from './pools.ts';
import { listsOf, proposeFor, type Served } from './propose.ts';
import type { Recording } from './recorded.ts';
import { recordedRequests } from './requests.ts';
import { findSkew, type Partition, readPartitions, unanalysed } from './skew.ts';
import { recordedStatements } from './stat-statements.ts';
import type { Progress, Rejection, Skew, Usage } from './types.ts';
import { usageOf } from './work.ts';

export interface SurveyOptions {
  /** Least share of a table's rows that makes a tenant large. */
  share: number;
  /** Requests, one a line: instead of pg_stat_statements. */
  requests?: string;
  progress: Progress;
}

export interface Survey {
  tenants: Skew[];
  usages: Usage[];
  recording: Recording;
  served: Served[];
  rejected: Rejection[];
  made: Made[];
  /** What an interrupted run has left: indexes that are not valid. */
  leftovers: string[];
  /** What could not be looked at, and what to do about it. */
  notes: string[];
}

/** Which views of v1 show which protected tables. */
async function readViews(client: pg.Client): Promise<Map<string, string[]>> {
  const { rows } = await client.query<{ view: string; table: string }>(
    `select distinct v.relname::text as view, d.refobjid::regclass::text as table
     from pg_class v join pg_namespace n on n.oid = v.relnamespace and n.nspname = 'v1'
     join pg_rewrite w on w.ev_class = v.oid
     join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
     join pg_partitioned_table p on p.partrelid = d.refobjid
     where v.relkind = 'v'`,
  );
  const views = new Map<string, string[]>();
  // Of a view over several tables, it cannot be told which one a column is of.
  for (const [view, of] of Map.groupBy(rows, (row) => row.view)) {
    const [only] = of;
    if (only && of.length === 1) views.set(only.table, [...(views.get(only.table) ?? []), view]);
  }
  return views;
}

function timeByTable({ time }: Recording, views: ReadonlyMap<string, string[]>): Map<string, number> {
  const sum = (names: readonly string[]) => names.reduce((total, name) => total + (time.get(name) ?? 0), 0);
  return new Map([...views].map(([table, names]) => [table, sum(names)]));
}

function notesOn({ source, unread }: Recording, partitions: readonly Partition[], skews: readonly Skew[]): string[] {
  const notes: string[] = [];
  const unknown = unanalysed(partitions);
  if (unknown.length > 0)
    notes.push(`Never analysed, so nothing is known of them: ${unknown.join(', ')}. Run: analyze`);
  if (source === 'none') {
    notes.push(
      'No statements are recorded here, so only pools can be proposed. Install pg_stat_statements, or give --requests FILE.',
    );
  }
  if (unread > 0)
    notes.push(`${unread} recorded lists were not read: with or, embedded resources, or calls of functions.`);
  if (skews.length > 0 && skews.every(({ work }) => work === null))
    notes.push('How work is shared cannot be told yet: too few blocks were touched since statistics were reset.');
  return notes;
}

/** Finds who skews, and tries what would help. Nothing of it remains. */
export async function survey(client: pg.Client, { share, requests, progress }: SurveyOptions): Promise<Survey> {
  progress('reading statistics');
  const partitions = await readPartitions(client);
  const tenants = findSkew(partitions, share);
  const recording = requests === undefined ? await recordedStatements(client) : recordedRequests(requests);
  const views = await readViews(client);
  const made = await readMade(client);
  const served: Served[] = [];
  const rejected: Rejection[] = [];
  for (const skew of tenants) {
    const at = partitions.find(({ partition }) => partition === skew.partition);
    const statements = listsOf(recording, views.get(skew.table) ?? []);
    if (!at || statements.length === 0) continue;
    const found = await proposeFor(client, skew, at, statements, progress);
    served.push(...found.served);
    rejected.push(...found.rejected);
  }
  const usages = usageOf(tenants, partitions, timeByTable(recording, views));
  for (const proposal of await proposePools(client, usages)) served.push({ proposal, statements: [] });
  return {
    ...{ tenants, usages, recording, rejected, made },
    served: served.filter(({ proposal }) => !made.some(({ id }) => id === proposal.id)),
    leftovers: await invalidLeftovers(client),
    notes: notesOn(recording, partitions, tenants),
  };
}
