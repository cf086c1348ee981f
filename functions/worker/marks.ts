import type pg from 'pg';
import type { Pool } from '../database.ts';
import type { Logger } from '../log.ts';

interface Finding {
  consumer: string;
  finding: 'restored' | 'ahead';
  slots: number;
}

/** The cursors are where the last mark is, about a minute back: docs/operations.md says what that means. */
const SAYS = {
  restored: 'the database was restored or failed over',
  ahead: 'cursors were above the last position of the ledger',
} as const;

/** Keeps in the database how far its consumers are, and sets them back where it was restored. Logs what was set back. */
export async function keepMarks(database: pg.Client | Pool, log: Logger): Promise<void> {
  const { rows } = await database.query<Finding>('select consumer, finding, slots from ledger.keep_marks()');
  for (const { consumer, finding, slots } of rows) log.error({ consumer, slots }, SAYS[finding]);
}
