import type { Pool } from '../../database.ts';
import { type Catalogue, readCatalogue, readFingerprint } from './catalogue.ts';
import { patiently } from './patience.ts';

/** The catalogue, known to have been true a moment ago. */
export interface Schema {
  /** As of at most MAX_AGE_MS ago; undefined where it has to be asked for: await refresh() then. Asks by itself in time. */
  current(): Catalogue | undefined;
  /** Compares fingerprints, and reads the catalogue where they differ. Undefined where the database does not say in time. */
  refresh(): Promise<Catalogue | undefined>;
}

/**
 * The ledger tells of rows, not of DDL: for so long after a `create or replace view` or a revoked grant, answers from before may
 * still be given.
 */
export const MAX_AGE_MS = 250;
/** Under traffic it is asked for before it is needed. */
const REFRESH_AFTER_MS = 100;

/** @param onError is told why the catalogue could not be read; nothing is kept then */
export function createSchema(pool: Pool, patienceMs: number, onError: (error: unknown) => void): Schema {
  let catalogue: Catalogue | undefined;
  let askedAt = Number.NEGATIVE_INFINITY;
  let failed = false;
  let asking: Promise<Catalogue | undefined> | undefined;

  async function ask(): Promise<Catalogue | undefined> {
    const started = performance.now();
    try {
      const fingerprint = await readFingerprint(pool);
      if (fingerprint !== catalogue?.fingerprint) catalogue = await readCatalogue(pool, fingerprint);
      askedAt = started;
      failed = false;
    } catch (error) {
      // Once for each outage.
      if (!failed) onError(error);
      failed = true;
      catalogue = undefined;
    } finally {
      asking = undefined;
    }
    return catalogue;
  }

  const refresh = patiently(patienceMs, () => {
    asking ??= ask();
    return asking;
  });

  return {
    current() {
      const age = performance.now() - askedAt;
      if (age > REFRESH_AFTER_MS && !asking) void refresh();
      return age <= MAX_AGE_MS ? catalogue : undefined;
    },
    refresh,
  };
}
