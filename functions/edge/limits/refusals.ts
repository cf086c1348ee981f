import { LRUCache } from 'lru-cache';
import type { Pool } from '../../database.ts';
import { fromDatabase, RowhouseError } from '../../errors.ts';
import type { Caller } from '../caller.ts';
import { type Follower, isAuthority } from '../follow/follower.ts';
import type { Answer } from '../pipeline.ts';

/** Who has left a tenant, or whose key was taken back, must not spend what the tenant has left, for as long as their tokens live. */
export interface Refusals {
  /**
   * Why the gate would refuse the caller again: nothing that it decides by has changed, as of now. Nothing to wait for where it has not
   * been refused.
   */
  of(caller: Caller): Promise<RowhouseError | undefined> | undefined;
  /** Before a request goes to the gate. */
  mark(): number;
  /**
   * Whether it was the gate that refused the caller. After HEAD the answer does not tell: then the gate is asked again.
   */
  in(answer: Answer, caller: Caller): Refusal | undefined | Promise<Refusal | undefined>;
  /** The gate has refused the caller. @param mark from before it was asked */
  note(caller: Caller, refusal: Refusal, mark: number): void;
}

export interface Refusal {
  code: (typeof REMEMBERED)[number];
  detail?: string;
  hint?: string;
}

const KEPT = 10_000;
/** Which the caller alone is to blame for. A suspended tenant pays for its own. */
const REMEMBERED = ['membership_required', 'api_key_invalid'] as const;

const text = (value: unknown) => (typeof value === 'string' ? value : undefined);

/** Whether an error is of this kind, by what our SQL says. */
export function asRefusal(said: { code?: unknown; detail?: unknown; hint?: unknown }): Refusal | undefined {
  const code = REMEMBERED.find((known) => known === said.code);
  if (!code) return undefined;
  const detail = text(said.detail);
  const hint = text(said.hint);
  return { code, ...(detail === undefined ? {} : { detail }), ...(hint === undefined ? {} : { hint }) };
}

/** The same of an answer of PostgREST. */
function refusalOf({ body }: Answer): Refusal | undefined {
  if (!Buffer.isBuffer(body) || body.length === 0) return undefined;
  try {
    const { code, details, hint } = JSON.parse(String(body)) as Record<string, unknown>;
    return asRefusal({ code, detail: details, hint });
  } catch {
    return undefined;
  }
}

/** Remembers until anything about the tenant's members or keys changes. */
export function createRefusals(follower: Follower, pool: Pool): Refusals {
  const known = new LRUCache<Caller, Refusal>({ max: KEPT });
  let changes = 0;

  const forget = () => {
    changes++;
    known.clear();
  };
  follower.onChange(({ tenantId, table }) => {
    if (!isAuthority(table)) return;
    if (tenantId === null) return forget();
    changes++;
    for (const caller of known.keys()) if (caller.tenantId === tenantId) known.delete(caller);
  });
  follower.onReset(forget);

  async function current(caller: Caller): Promise<RowhouseError | undefined> {
    // Whoever was let in again is, with the next request. Those who ask at the same time share the question.
    await follower.sync().catch(() => {});
    const refusal = known.get(caller);
    return refusal && new RowhouseError(refusal.code, refusal);
  }

  async function ask({ token }: Caller): Promise<Refusal | undefined> {
    try {
      await pool.query('select auth.enter($1)', [token]);
      return undefined;
    } catch (error) {
      const typed = fromDatabase(error);
      return typed instanceof RowhouseError ? asRefusal(typed) : undefined;
    }
  }

  return {
    in: (answer, caller) =>
      answer.body instanceof Buffer && answer.body.length === 0 ? ask(caller) : refusalOf(answer),
    of: (caller) => (known.size > 0 && known.has(caller) ? current(caller) : undefined),
    // A change that is not heard of would never be forgotten.
    mark: () => (follower.isFollowing() ? changes : -1),
    note(caller, refusal, mark) {
      if (mark === changes && follower.isFollowing()) known.set(caller, refusal);
    },
  };
}
