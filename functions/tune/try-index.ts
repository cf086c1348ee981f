import pg from 'pg';
import { type Candidate, candidatesFor, definitionOf } from './candidates.ts';
import { type Column, valuesOf } from './columns.ts';
import { type Measured, measure } from './measure.ts';
import type { Recorded } from './recorded.ts';
import { copySample, type Source } from './sample.ts';
import { become, undone } from './session.ts';
import type { Rejection } from './types.ts';

export interface TriedIndex {
  candidate: Candidate;
  statement: Recorded;
  sampled: number;
  before: Measured;
  after: Measured;
  bytes: number;
}

/** What makes an index worth its place: half of the time, or half of the blocks and a fifth of the time. */
export function isBetter(before: Measured, after: Measured): boolean {
  const time = after.ms / Math.max(before.ms, 1e-3);
  const blocks = after.blocks / Math.max(before.blocks, 1);
  return (time <= 0.5 && blocks <= 1.2) || (blocks <= 0.5 && time <= 0.8);
}

/** Two indexes that serve equally are told apart by their size: a partial one is smaller. */
const cost = ({ after, bytes }: TriedIndex) => Math.round(after.blocks) * 1e12 + bytes;

/** A statement that reads no more than this many rows for each that it returns has what it needs. */
const WASTE = 5;
const LEAST_READ = 1000;
const LEAST_MS = 0.5;

export const isWasteful = ({ read, rows, ms, cancelled }: Measured): boolean =>
  cancelled === true || (ms >= LEAST_MS && read >= LEAST_READ && read / Math.max(1, rows) >= WASTE);

async function tryOne(
  client: pg.Client,
  relation: string,
  shape: Recorded['shape'],
  candidate: Candidate,
  sets: readonly (readonly string[])[],
): Promise<{ after: Measured; bytes: number } | string> {
  await client.query('savepoint candidate');
  try {
    await become(client, 'rowhouse_owner');
    await client.query(`create index tune_candidate on ${relation} ${definitionOf(candidate)}`);
    const { rows } = await client.query<{ bytes: number }>(
      `select pg_relation_size('pg_temp.tune_candidate')::float8 as bytes`,
    );
    await become(client, 'tenant_user');
    const after = await measure(client, shape, relation, sets);
    if (after.indexes.has('tune_candidate')) return { after, bytes: rows[0]?.bytes ?? 0 };
    return `${after.statement} cannot use it, or has a better one`;
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    return `it cannot be made, or the statement not run: ${error.message}`;
  } finally {
    await client.query('rollback to savepoint candidate');
  }
}

/**
 * Tries the indexes that might serve a statement on a sample of the tenant's rows, one after the other, and gives the best of those
 * that the planner takes and that pay. Nothing of it remains.
 */
export async function tryIndexes(
  client: pg.Client,
  source: Source,
  tenantId: string,
  columns: ReadonlyMap<string, Column>,
  statements: readonly Recorded[],
): Promise<{ best: TriedIndex[]; rejected: Rejection[] }> {
  const best: TriedIndex[] = [];
  const rejected: Rejection[] = [];
  await undone(client, async () => {
    const sample = await copySample(client, source, tenantId, columns);
    if (!sample) return;
    const { relation, rows: sampled } = sample;
    for (const statement of statements) {
      const sets = statement.values ?? valuesOf(statement.shape, columns);
      const before = await measure(client, statement.shape, relation, sets);
      const paying: TriedIndex[] = [];
      for (const candidate of candidatesFor(statement.shape, columns, tenantId)) {
        const tried = await tryOne(client, relation, statement.shape, candidate, sets);
        const reject = (reason: string) =>
          rejected.push({
            tenant_id: tenantId,
            definition: `index on ${source.partition} ${definitionOf(candidate)}`,
            reason,
          });
        if (typeof tried === 'string') reject(tried);
        else if (!isBetter(before, tried.after)) reject(`${before.statement} would use it, and gain too little`);
        else paying.push({ candidate, statement, sampled, before, ...tried });
      }
      const [first] = paying.toSorted((a, b) => cost(a) - cost(b));
      if (first) best.push(first);
    }
  }).catch((error: unknown) => {
    if (!(error instanceof pg.DatabaseError)) throw error;
    rejected.push({
      tenant_id: tenantId,
      definition: `indexes on ${source.partition}`,
      reason: `they could not be tried: ${error.message}`,
    });
  });
  return { best, rejected };
}
