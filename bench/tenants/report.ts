import type { BenchReport } from '../report.ts';
import { spread } from '../rounds.ts';
import { median, round } from '../statistics.ts';
import type { Side } from './side.ts';

/** Milliseconds, of one round. */
export interface Measured {
  madeMs: number;
  usableMs: number;
  addColumnMs: number;
  addColumnAtOnceMs: number;
  addColumnToApiMs: number;
  longestWaitMs: number;
  longestWaitBehindMs: number;
}

export function report(measured: Map<Side, Measured[]>, tenants: number): BenchReport {
  const of = (name: Side['name']) => [...measured].find(([side]) => side.name === name)?.[1] ?? [];
  const [ours, theirs] = [of('rowhouse'), of('schema_per_tenant')];
  const middle = (taken: Measured[], key: keyof Measured) => round(median(taken.map((one) => one[key])), 1);
  const ratio = (key: keyof Measured) =>
    spread(theirs.flatMap((one, nth) => (ours[nth] ? [one[key] / ours[nth][key]] : [])));
  const row = (title: string, key: keyof Measured, compared = true) => {
    const { median: times, low, high } = ratio(key);
    return [
      title,
      middle(ours, key),
      middle(theirs, key),
      compared ? Math.round(times) : '',
      compared ? `${Math.round(low)}–${Math.round(high)}` : '',
    ];
  };
  return {
    title: `What does a tenant cost beside ${tenants.toLocaleString('en')} others, as rows and as a schema?`,
    head: ['', 'rows, ms', 'schemas, ms', 'times', 'of rounds'],
    rows: [
      row('a new tenant, until the database has it', 'madeMs'),
      row('… until its first request is answered', 'usableMs'),
      row(`a column more for ${tenants.toLocaleString('en')} tenants`, 'addColumnMs'),
      row('… each transaction sent at once', 'addColumnAtOnceMs'),
      row('… one by one, and the view that clients see', 'addColumnToApiMs'),
      row('longest wait of a reader meanwhile', 'longestWaitMs', false),
      row('… another tenant’s transaction in the way for 500 ms', 'longestWaitBehindMs', false),
    ],
    notes: [
      'Medians of rounds. Schemas: a transaction for each, and PostgREST told to read its schema again.',
      'Readers: 4 connections, the 20 newest files of 100 tenants in turn. See bench/tenants/README.md.',
    ],
    figures: {
      create_vs_schema_per_tenant: round(ratio('usableMs').median, 1),
      create_sql_vs_schema_per_tenant: round(ratio('madeMs').median, 1),
      add_column_vs_schema_per_tenant: round(ratio('addColumnMs').median, 1),
      add_column_at_once_vs_schema_per_tenant: round(ratio('addColumnAtOnceMs').median, 1),
      add_column_to_api_vs_schema_per_tenant: round(ratio('addColumnToApiMs').median, 1),
      create_ms: middle(ours, 'usableMs'),
      add_column_ms: middle(ours, 'addColumnMs'),
      longest_wait_ms: middle(ours, 'longestWaitMs'),
      longest_wait_ms_schema_per_tenant: middle(theirs, 'longestWaitMs'),
      longest_wait_behind_ms: middle(ours, 'longestWaitBehindMs'),
      longest_wait_behind_ms_schema_per_tenant: middle(theirs, 'longestWaitBehindMs'),
    },
    bars: { create_vs_schema_per_tenant: { atLeast: 50 }, add_column_vs_schema_per_tenant: { atLeast: 100 } },
  };
}
