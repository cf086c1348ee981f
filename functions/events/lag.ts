import type pg from 'pg';

/** How far a consumer of the ledger is behind in one slot. */
export interface SlotLag {
  consumer: string;
  slot: number;
  position: string;
  /** Counted up to 100,000. */
  entries_behind: number;
  seconds_behind: number | null;
  /** The process whose unfinished transaction keeps the slot back, if any. */
  held_back_by: number | null;
  /** The id of a prepared transaction that does: it has no process. */
  prepared: string | null;
  /** How long that transaction has run; null where this login may not know. */
  held_back_seconds: number | null;
  held_back_application: string | null;
  /** The worker's session that hands the slot's entries over right now. */
  handed_by: number | null;
}

/** Reads the lag of every consumer, slot by slot. */
export async function readLag(client: pg.ClientBase): Promise<SlotLag[]> {
  const { rows } = await client.query<SlotLag>(
    `select l.consumer, l.slot, l.position, l.entries_behind::int, l.seconds_behind::float8, l.held_back_by, l.prepared,
       round(extract(epoch from clock_timestamp() - coalesce(p.prepared, a.xact_start)), 3)::float8 as held_back_seconds,
       a.application_name as held_back_application, l.handed_by
     from ledger.lag() as l left join pg_stat_activity as a on a.pid = l.held_back_by
       left join pg_prepared_xacts as p on p.gid = l.prepared
     order by l.consumer, l.slot`,
  );
  return rows;
}

export const isHeldBack = ({ held_back_by, prepared }: SlotLag) => held_back_by !== null || prepared !== null;

/** A consumer's slots together. */
export interface ConsumerLag {
  consumer: string;
  entries_behind: number;
  seconds_behind: number | null;
  /** Those that keep entries back, the longest first. */
  held_back_by: Pick<SlotLag, 'held_back_by' | 'prepared' | 'held_back_seconds' | 'held_back_application'>[];
}

export function byConsumer(slots: SlotLag[]): ConsumerLag[] {
  return [...Map.groupBy(slots, ({ consumer }) => consumer)].map(([consumer, of]) => {
    const waits = of.filter(({ entries_behind }) => entries_behind > 0);
    const holders = new Map(waits.filter(isHeldBack).map((slot) => [slot.held_back_by ?? slot.prepared, slot]));
    return {
      consumer,
      entries_behind: waits.reduce((sum, slot) => sum + slot.entries_behind, 0),
      seconds_behind: waits.length > 0 ? Math.max(...waits.map((slot) => slot.seconds_behind ?? 0)) : null,
      held_back_by: [...holders.values()]
        .map(({ held_back_by, prepared, held_back_seconds, held_back_application }) => ({
          held_back_by,
          prepared,
          held_back_seconds,
          held_back_application,
        }))
        .toSorted((a, b) => (b.held_back_seconds ?? 0) - (a.held_back_seconds ?? 0)),
    };
  });
}
