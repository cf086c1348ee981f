import type pg from 'pg';
import { readColumns, valuesOf } from './columns.ts';
import { forget, recordBuilding, recordBuilt } from './made.ts';
import { estimate, type Measured, matching } from './measure.ts';
import { measureNow } from './measure-now.ts';
import { shortNameOf } from './names.ts';
import type { Served } from './propose.ts';
import type { Recorded } from './recorded.ts';
import { dropObject } from './remove.ts';
import { asOwner, cancelBackend, LOCK_TIMEOUT, sealFor, undone } from './session.ts';
import { errorOf } from './try-statistics.ts';
import type { Measurement, Progress, Proposal } from './types.ts';

export interface Outcome extends Pick<Proposal, 'id' | 'kind' | 'tenant_id' | 'object'> {
  outcome: 'built' | 'taken back' | 'failed' | 'late' | 'interrupted' | 'manual';
  detail: string;
  before: Measurement[];
  after: Measurement[];
}

export interface BuildOptions {
  url: string;
  signal: AbortSignal;
  /** Milliseconds that it may take; 0: as long as it takes. */
  leftMs: number;
  progress: Progress;
}

/** What of a time or of blocks has to be gone for an index to stay. */
const KEPT = 0.8;
const CANCELLED = '57014';

const plain = ({ indexes: _, ...measurement }: Measured): Measurement => measurement;

/** Runs `work` as owner; statements of it that run for longer than `leftMs` are cancelled by the server. */
function within<T>(client: pg.Client, leftMs: number, work: () => Promise<T>): Promise<T> {
  const limit = (statement: string, lock: string) =>
    client.query(`select set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false)`, [
      statement,
      lock,
    ]);
  return asOwner(client, async () => {
    // What it waits for, only other DDL waits behind: it may wait as long as it has time.
    await limit(String(Math.ceil(leftMs)), '0');
    try {
      return await work();
    } finally {
      await limit('0', LOCK_TIMEOUT);
    }
  });
}

/** Runs `work`; an interruption cancels in the server what runs there. */
async function interruptible<T>(client: pg.Client, { url, signal }: BuildOptions, work: () => Promise<T>): Promise<T> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  const cancel = () => void cancelBackend(url, rows[0]?.pid ?? 0).catch(() => {});
  signal.addEventListener('abort', cancel);
  try {
    signal.throwIfAborted();
    return await work();
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

/** The figures of each statement, and for statistics what is expected of its conditions. */
async function figures(
  client: pg.Client,
  { proposal, statements }: Served,
  columns: Awaited<ReturnType<typeof readColumns>>,
) {
  const measured = await measureNow(client, proposal.tenant_id, statements, columns);
  if (proposal.kind === 'index' || proposal.partition === null || proposal.table === null) return measured;
  const { table, partition } = proposal;
  await undone(client, async () => {
    if (!(await sealFor(client, proposal.tenant_id))) return;
    for (const [{ shape, values }, one] of measured) {
      const sets = values ?? valuesOf(shape, columns);
      one.estimated = await estimate(client, shape, partition, sets[0] ?? []);
      one.matching = await matching(client, shape, table, sets);
    }
  });
  return measured;
}

function isKept({ kind, object }: Proposal, before: Map<Recorded, Measured>, after: Map<Recorded, Measured>): boolean {
  return [...after].some(([statement, now]) => {
    const then = before.get(statement);
    if (!then) return false;
    if (kind !== 'index') {
      const error = ({ estimated = 0, matching: matches = 0 }: Measurement) => errorOf(estimated, matches);
      return error(now) < error(then) * KEPT;
    }
    return now.indexes.has(shortNameOf(object)) && (now.blocks < then.blocks * KEPT || now.ms < then.ms * KEPT);
  });
}

/**
 * Makes one object: measures, records it, builds, measures again; and takes it back where it was interrupted, has failed, or does not
 * pay. Statements of others go on meanwhile.
 */
export async function build(client: pg.Client, served: Served, options: BuildOptions): Promise<Outcome> {
  const { proposal } = served;
  const { id, kind, tenant_id, object, partition, definition } = proposal;
  const told = (
    outcome: Outcome['outcome'],
    detail: string,
    before: Measured[] = [],
    after: Measured[] = [],
  ): Outcome => ({
    ...{ id, kind, tenant_id, object, outcome, detail },
    ...{ before: before.map(plain), after: after.map(plain) },
  });
  if (proposal.manual) return told('manual', `it has to be done by hand: ${definition}`);
  const columns = partition === null ? new Map() : await readColumns(client, partition);
  options.progress('measuring before');
  const before = await figures(client, served, columns);
  await recordBuilding(client, proposal, [...before.values()].map(plain));
  try {
    await interruptible(client, options, async () => {
      options.progress('building');
      await within(client, options.leftMs, async () => {
        await client.query(definition);
        if (kind === 'statistics' || kind === 'target') await client.query(`analyze ${partition}`);
      });
    });
    options.signal.throwIfAborted();
    options.progress('measuring after');
    const after = await figures(client, served, columns);
    if (kind === 'pool' || isKept(proposal, before, after)) {
      await recordBuilt(client, proposal, [...after.values()].map(plain));
      return told('built', '', [...before.values()], [...after.values()]);
    }
    await dropObject(client, proposal);
    await forget(client, proposal);
    const why = kind === 'index' ? 'no statement became faster with it' : 'no estimate became better with it';
    return told('taken back', why, [...before.values()], [...after.values()]);
  } catch (error) {
    options.progress('taking it back');
    await dropObject(client, proposal);
    await forget(client, proposal);
    if (options.signal.aborted) return told('interrupted', 'taken back');
    const cancelled = (error as { code?: string }).code === CANCELLED;
    if (cancelled && options.leftMs > 0) return told('late', 'the quiet hours were over: taken back');
    return told('failed', (error as Error).message);
  }
}
