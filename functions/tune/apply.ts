import type pg from 'pg';
import { RowhouseError } from '../errors.ts';
import { build, type Outcome } from './build.ts';
import type { Served } from './propose.ts';
import { awaitQuiet, leftOfQuiet, type QuietHours, untilQuiet } from './quiet-hours.ts';
import type { Progress } from './types.ts';

export interface ApplyOptions {
  url: string;
  signal: AbortSignal;
  quiet?: QuietHours;
  /** Told of each proposal in turn, and of what is being done for it. */
  progress: (served: Served, message: string) => void;
  onWait: Progress;
}

/** Less time than this is not worth beginning with. */
const LEAST_MS = 10_000;

/**
 * The proposals with these ids, in the order in which they were made.
 * @throws RowhouseError usage_invalid for an id that is not proposed
 */
export function choose(served: readonly Served[], only: readonly string[]): Served[] {
  const unknown = only.filter((id) => !served.some(({ proposal }) => proposal.id === id));
  if (unknown.length > 0) {
    throw new RowhouseError('usage_invalid', {
      detail: `not proposed: ${unknown.join(', ')}`,
      hint: 'rowhouse tune lists what is.',
    });
  }
  return only.length === 0 ? [...served] : served.filter(({ proposal }) => only.includes(proposal.id));
}

/** Builds one after the other, within quiet hours where there are any; what does not fit into them is left for the next time. */
export async function apply(client: pg.Client, chosen: readonly Served[], options: ApplyOptions): Promise<Outcome[]> {
  const { quiet, signal, url } = options;
  if (quiet && untilQuiet(quiet, new Date()) > 0) {
    options.onWait(`waiting for ${Math.ceil(untilQuiet(quiet, new Date()) / 60_000)} minutes, until quiet hours`);
    await awaitQuiet(quiet, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }
  const outcomes: Outcome[] = [];
  for (const served of chosen) {
    const { id, kind, tenant_id, object, manual } = served.proposal;
    const leftMs = quiet ? leftOfQuiet(quiet, new Date()) : 0;
    const skipped = { id, kind, tenant_id, object, before: [], after: [] };
    if (signal.aborted) outcomes.push({ ...skipped, outcome: 'interrupted', detail: 'not begun' });
    else if (quiet && leftMs < LEAST_MS && !manual)
      outcomes.push({ ...skipped, outcome: 'late', detail: 'not begun: the quiet hours are over' });
    else
      outcomes.push(
        await build(client, served, {
          url,
          signal,
          leftMs,
          progress: (message) => options.progress(served, message),
        }),
      );
  }
  return outcomes;
}
