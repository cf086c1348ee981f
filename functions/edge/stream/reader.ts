import type { Pool } from '../../database.ts';
import { fromDatabase, isErrorCode, RowhouseError } from '../../errors.ts';
import { createLanes } from './lanes.ts';

export interface Opened {
  /** The member's role as of now, which may be lower than the token's. */
  role: string;
  /** Everything up to here was said before. */
  position: number;
  /** The last event up to there, if there is one: a client can resume behind it. */
  mark: number | null;
  /** Events behind it that were there before the stream was opened. */
  passed: ReadonlySet<number>;
}

export interface StreamEvent {
  position: number;
  type: string;
  subject: string | null;
  /** The CloudEvent, on one line. */
  event: string;
}

/** Of one tenant, as one member sees it. */
export interface Page {
  role: string;
  after: number;
  events: StreamEvent[];
  /** Everything up to here is in it. */
  through: number;
  /** The last event up to there that the member sees, in it or not. */
  mark: number | null;
  /** It ends where it does because there is more than it may hold. */
  full: boolean;
  /** There are entries behind it, which may not be settled yet. */
  more: boolean;
}

export interface Selection {
  /** Patterns of LIKE. */
  types: string[] | null;
  subject: string | null;
}

export interface PageRequest {
  tenantId: string;
  /** What has just been committed, for all who wait for it; else what one stream has missed. */
  live: boolean;
  token: string;
  after: number;
  /** Up to here the tenant's entries are known to be settled. */
  settled: number;
  /** The event that it was given last, without which it is refused with event_unknown; null: it need not be looked up. */
  seen: number | null;
  /** Only these; null: all that the member sees. */
  selection: Selection | null;
}

export type Verdict = { role: string } | { refusal: RowhouseError };

/** Everything that streams ask the database. Each question is answered in a session sealed with the asker's own token. */
export interface Reader {
  /**
   * @param after the event that the client has seen last; null: from now on
   * @param settled up to here the tenant's entries are known to be settled
   * @throws RowhouseError what the gate says, event_unknown
   */
  open(token: string, after: number | null, settled: number): Promise<Opened>;
  /** Those who ask while others are answered share the next statement, tenant by tenant; what is live does not wait for the rest. @throws RowhouseError what the gate says */
  read(request: PageRequest): Promise<Page>;
  /** What the gate says of each token, in their order. */
  review(tokens: readonly string[]): Promise<Verdict[]>;
}

/** Statements under way at once; who asks meanwhile goes along with the next. */
const STATEMENTS = 3;
/** Tenants in one statement, tokens in one review. */
const BATCH = 32;
const REVIEWED = 200;
/** What a page looks at, which is cheap where only some events are made of it, and what it holds: one event at the least. */
const PAGE_ENTRIES = 500;
const SEARCHED_ENTRIES = 5000;
const PAGE_BYTES = 128 * 1024;
/** A server that vanished without a word would otherwise be waited for until TCP gives up. */
const TIMEOUT_MS = 10_000;

interface Refused {
  code: string;
  details?: string;
  hint?: string;
}

function refusalOf({ code, details, hint }: Refused): RowhouseError {
  if (!isErrorCode(code)) return new RowhouseError('internal', { detail: code });
  return new RowhouseError(code, { ...(details ? { detail: details } : {}), ...(hint ? { hint } : {}) });
}

const OPEN = {
  name: 'open_stream',
  text: 'select tenant_role, position, mark, passed from ledger.open_stream($1, $2, $3)',
};
const READ = {
  name: 'read_streams',
  text: 'select nth, position, type, subject, event, tenant_role, is_full, has_more, mark, refusal from ledger.read_streams($1, $2)',
  rowMode: 'array' as const,
};
const REVIEW = {
  name: 'review_tokens',
  text: 'select tenant_role, refusal from ledger.review_tokens($1) order by nth',
};

type Row = [
  nth: number,
  position: string,
  type: string | null,
  subject: string | null,
  event: string,
  role: string,
  isFull: boolean,
  hasMore: boolean,
  mark: string | null,
  refusal: Refused | null,
];

interface Asked extends PageRequest {
  searches: boolean;
  resolve(page: Page): void;
  reject(error: unknown): void;
}

export function createReader(pool: Pool): Reader {
  async function ask<T>(query: object): Promise<T[]> {
    try {
      return (await pool.query({ ...query, query_timeout: TIMEOUT_MS } as unknown as { text: string })).rows as T[];
    } catch (error) {
      if (!(error instanceof Error && error.message === 'Query read timeout')) throw fromDatabase(error);
      throw new RowhouseError('database_unavailable', { headers: { 'Retry-After': '1' }, cause: error });
    }
  }

  async function readBatch(batch: Asked[]): Promise<void> {
    const requests = batch.map(({ token, after, settled, seen, selection }) => ({
      token,
      after,
      settled,
      seen,
      entries: selection ? SEARCHED_ENTRIES : PAGE_ENTRIES,
      types: selection?.types ?? null,
      about: selection?.subject ?? null,
    }));
    const rows = await ask<Row>({ ...READ, values: [JSON.stringify(requests), PAGE_BYTES] });
    const events: StreamEvent[][] = batch.map(() => []);
    for (const [nth, at, type, subject, event, role, full, more, last, refusal] of rows) {
      const { after, resolve, reject } = batch[nth - 1] as Asked;
      const own = events[nth - 1] as StreamEvent[];
      const position = Number(at);
      // The row without a type is the last one of its page.
      if (type !== null) own.push({ position, type, subject, event });
      else if (refusal) reject(refusalOf(refusal));
      else {
        const mark = last === null ? null : Number(last);
        resolve({ role, after, events: own, through: position, mark, full, more });
      }
    }
  }

  const lanes = createLanes({ statements: STATEMENTS, batch: BATCH, run: readBatch });

  return {
    async open(token, after, settled) {
      const [row] = await ask<{ tenant_role: string; position: string; mark: string | null; passed: string[] | null }>({
        ...OPEN,
        values: [token, after, settled],
      });
      const { tenant_role: role, position, mark, passed } = row as NonNullable<typeof row>;
      return {
        role,
        position: Number(position),
        mark: mark === null ? null : Number(mark),
        passed: new Set(passed?.map(Number)),
      };
    },
    read(request) {
      return new Promise((resolve, reject) => {
        lanes.add({ ...request, searches: request.selection !== null, resolve, reject });
      });
    },
    async review(tokens) {
      const verdicts: Verdict[] = [];
      for (let from = 0; from < tokens.length; from += REVIEWED) {
        const values = [tokens.slice(from, from + REVIEWED)];
        const rows = await ask<{ tenant_role: string; refusal: Refused | null }>({ ...REVIEW, values });
        for (const { tenant_role: role, refusal } of rows) {
          verdicts.push(refusal ? { refusal: refusalOf(refusal) } : { role });
        }
      }
      return verdicts;
    },
  };
}
