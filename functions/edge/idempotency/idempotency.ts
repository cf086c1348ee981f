import type { Pool } from '../../database.ts';
import { collect } from '../collect.ts';
import type { Answer, Stage } from '../pipeline.ts';
import { createAnswers } from './answers.ts';
import { fingerprint } from './fingerprint.ts';

/** Also a check in sql/auth/idempotency.sql. */
const KEPT_BYTES = 256 * 1024;
const ERROR_BYTES = 16 * 1024;

/** Of an answer with a secret, such as a new API key. It is remembered that there was one, and no more. */
const NO_STORE = /\bno-store\b/i;

const WRITES = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

/** The whole of a body that is not larger than `limit`; of a larger one nothing. And the same body to send on. */
async function bounded(body: Answer['body'], limit: number): Promise<{ whole?: Buffer; body: Answer['body'] }> {
  const collected = await collect(body, limit);
  return Buffer.isBuffer(collected) && collected.length <= limit
    ? { whole: collected, body: collected }
    : { body: collected };
}

/** Whether the gate found that this request was committed before. */
function isRepeated(body: Buffer | undefined): boolean {
  try {
    return (JSON.parse(String(body)) as { code?: unknown }).code === 'idempotency_answer_lost';
  } catch {
    return false;
  }
}

/**
 * Repeats the first answer to a request with the same Idempotency-Key (draft-ietf-httpapi-idempotency-key-header).
 * Whether the request was carried out is decided by the gate, in the request's own transaction (auth.claim_key()); here the
 * answer is stored before it goes out, and looked up when the gate says that there was one.
 */
export function createIdempotency({ pool }: { pool: Pool }): { stage: Stage } {
  const answers = createAnswers(pool);

  const stage: Stage = async (exchange, next) => {
    const { headers, method, caller, request } = exchange;
    const key = headers['idempotency-key'];
    if (typeof key !== 'string' || !caller || !WRITES.has(method)) return next();

    const hash = fingerprint(exchange, await exchange.body());
    const claim = { token: caller.token, key, hash };
    exchange.forward['x-rowhouse-request-hash'] = hash;
    const answer = await next();

    if (answer.status === 409) {
      const { whole, body } = await bounded(answer.body, ERROR_BYTES);
      const first = isRepeated(whole) ? await answers.find(claim) : undefined;
      if (!first) return { ...answer, body };
      exchange.replyHeaders['idempotency-replayed'] = 'true';
      return first;
    }
    if (answer.status >= 300) return answer;
    const isKept = !NO_STORE.test(String(answer.headers['cache-control'] ?? ''));
    const { whole, body } = isKept ? await bounded(answer.body, KEPT_BYTES) : { body: answer.body };
    // The request was committed: its answer goes out whether it can be stored or not.
    await answers.keep(claim, answer, whole).catch((error: Error) => {
      request.log.error({ error: error.message }, 'an answer could not be stored under its Idempotency-Key');
    });
    return { ...answer, body };
  };
  return { stage };
}
