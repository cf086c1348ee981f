import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { Pool } from '../database.ts';
import type { Exchange } from './pipeline.ts';
import type { Fault, PostgrestError } from './problem.ts';

/** What a request's relation or function has for the caller's role: names of the served schema alone. */
interface Known {
  writable: string[];
  /** The columns that the error is about. */
  named: string[];
  maker: string | null;
  /** Of a function, its arguments, and how many of the last ones can be left out. */
  arguments: string[] | null;
  optional: number;
}

export type Advice = Pick<Fault, 'details' | 'hint'>;
export type Advise = (exchange: Exchange, error: PostgrestError) => Promise<Advice>;

/** PostgreSQL's texts, which are not shown: the names in them may be of what is not served. */
const TEXTS: Record<string, RegExp> = {
  '23502': /^null value in column "(?<column>.+)" of relation "(?<table>.+)" violates not-null constraint$/,
  '23514': /^new row for relation "(?<table>.+)" violates check constraint "(?<constraint>.+)"$/,
  '0A000': /^cannot (?:update|insert into) column "(?<column>.+)" of view "(?<view>.+)"$/,
  '42501': /^permission denied for view (?<view>.+)$/,
  '55000': /^cannot insert into view "(?<view>.+)"$/,
  PGRST202: /^/,
};

const QUERY = readFileSync(new URL('advice.sql', import.meta.url), 'utf8');
const PATH = /^\/(rpc\/)?([A-Za-z_]\w{0,62})(?:\?|$)/;
/** Advice is not worth more. Nor does it have to be asked for again for whoever repeats an error. */
const PATIENCE_MS = 500;
const KEPT = { max: 500, ttl: 5000 };

const some = (names: string[]) => (names.length > 0 ? names.join(', ') : undefined);

function ofCall({ arguments: all, optional }: Known): Advice {
  if (!all) return {};
  const needed = some(all.slice(0, all.length - optional)) ?? 'nothing';
  const rest = some(all.slice(all.length - optional));
  return { hint: `It needs: ${needed}.${rest ? ` Optional: ${rest}.` : ''}` };
}

function ofRefusal({ method, prefix }: Exchange, { writable, maker }: Known): Advice {
  const takes = some(writable);
  if (takes && /^P(?:OST|ATCH|UT)$/.test(method)) return { hint: `${method} takes: ${takes}.` };
  return !takes && maker && method === 'POST' ? { hint: `Make one with POST ${prefix}/rpc/${maker}.` } : {};
}

function adviceOf(code: string, exchange: Exchange, known: Known): Advice {
  if (code === 'PGRST202') return ofCall(known);
  if (code === '42501' || code === '55000') return ofRefusal(exchange, known);
  const named = some(known.named);
  const takes = some(known.writable);
  if (!named) return {};
  if (code === '23502') return { details: `${named}: a value is required.` };
  if (code === '23514') return { details: `${named}: the value breaks a rule of this resource.` };
  return { details: `${named}: cannot be written.`, ...(takes ? { hint: `${exchange.method} takes: ${takes}.` } : {}) };
}

/** Says which columns, arguments or function the caller is to look at, as far as the caller's role may know of them. */
export function createAdvice(pool: Pool): Advise {
  const cache = new LRUCache<string, Promise<Known | undefined>>(KEPT);

  async function look(values: readonly (string | null)[]): Promise<Known | undefined> {
    const question = { text: QUERY, values: [...values], query_timeout: PATIENCE_MS };
    return (await pool.query<Known>(question)).rows[0];
  }

  return async (exchange, { code, message }) => {
    const text = typeof code === 'string' ? TEXTS[code]?.exec(String(message)) : undefined;
    const [, call, name] = PATH.exec(exchange.path) ?? [];
    const { column = null, table = null, constraint = null, view = name } = text?.groups ?? {};
    if (!text || name === undefined || view !== name || !exchange.caller) return {};
    const verb = call ? 'call' : exchange.method === 'PATCH' ? 'update' : 'insert';
    const values = [exchange.schema, name, exchange.caller.role, verb, column, table, constraint];
    const key = JSON.stringify(values);
    const looking = cache.get(key) ?? look(values).catch(() => undefined);
    cache.set(key, looking);
    const known = await Promise.race([looking, delay(PATIENCE_MS, undefined, { ref: false })]);
    return known ? adviceOf(String(code), exchange, known) : {};
  };
}
