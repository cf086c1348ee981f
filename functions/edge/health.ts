import type { FastifyInstance } from 'fastify';
import type { Pool } from '../database.ts';
import { RowhouseError } from '../errors.ts';

/** Anybody may ask, as often as they like: those who ask within so long share one answer. */
const SHARED_MS = 250;

/** `/healthz`: the process answers. `/readyz`: so do the database and PostgREST, and it is not about to end. */
export function serveHealth(
  server: FastifyInstance,
  pool: Pool,
  checkPools: () => Promise<void>,
  isDraining: () => boolean,
): void {
  server.get('/healthz', async () => ({ status: 'ok' }));

  let checking: Promise<void> | undefined;

  async function check(): Promise<void> {
    await pool.query('select 1').catch((cause) => {
      throw new RowhouseError('database_unavailable', { headers: { 'Retry-After': '1' }, cause });
    });
    await checkPools();
  }

  function shared(): Promise<void> {
    if (checking) return checking;
    const forget = () => {
      checking = undefined;
    };
    checking = check();
    checking.catch(() => {}).finally(() => setTimeout(forget, SHARED_MS).unref());
    return checking;
  }

  server.get('/readyz', async () => {
    if (isDraining()) throw new RowhouseError('edge_draining');
    await shared();
    return { status: 'ready' };
  });
}
