import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from '../../database.ts';
import { fromDatabase } from '../../errors.ts';
import type { Answer } from '../pipeline.ts';

/** As auth.idempotency_keys has them. The subject is the token's. */
export interface Claim {
  token: string;
  key: string;
  hash: string;
}

interface Row {
  age: number;
  status: number | null;
  headers: Answer['headers'] | null;
  body: Buffer | null;
}

/** The edge that was given the answer may be storing it at this moment. */
const WAITS_MS = [20, 50, 100, 200, 400, 800];
/** Later than so long after the request began, nobody is. */
const SETTLED_SECONDS = 60;

/** The first answers of requests that were carried out under a key, in PostgreSQL. */
export function createAnswers(pool: Pool) {
  async function read({ token, key, hash }: Claim): Promise<Row | undefined> {
    try {
      const { rows } = await pool.query<Row>('select * from auth.kept_answer($1, $2, $3)', [token, key, hash]);
      return rows[0];
    } catch (error) {
      throw fromDatabase(error);
    }
  }

  return {
    /** @param body undefined where it is not to be kept; nor are the headers then */
    async keep({ token, key, hash }: Claim, { status, headers }: Answer, body: Buffer | undefined): Promise<void> {
      const values = [token, key, hash, status, JSON.stringify(body ? headers : {}), body ?? null];
      await pool.query('select auth.keep_answer($1, $2, $3, $4, $5, $6)', values);
    },

    /** The stored answer; undefined where there is none, and will be none. */
    async find(claim: Claim): Promise<Answer | undefined> {
      for (const wait of [...WAITS_MS, 0]) {
        const row = await read(claim);
        if (!row) return undefined;
        if (row.status !== null && row.headers) {
          return row.body ? { status: row.status, headers: row.headers, body: row.body } : undefined;
        }
        if (row.age > SETTLED_SECONDS) return undefined;
        if (wait > 0) await delay(wait);
      }
      return undefined;
    },
  };
}

export type Answers = ReturnType<typeof createAnswers>;
