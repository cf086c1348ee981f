import type { FastifyInstance } from 'fastify';
import type { Pool } from '../database.ts';
import { RowhouseError } from '../errors.ts';

/** `/healthz`: the process answers. `/readyz`: so do the database and PostgREST, and it is not about to end. */
export function serveHealth(
  server: FastifyInstance,
  pool: Pool,
  checkPools: () => Promise<void>,
  isDraining: () => boolean,
): void {
  server.get('/healthz', async () => ({ status: 'ok' }));

  server.get('/readyz', async () => {
    if (isDraining()) throw new RowhouseError('edge_draining');
    await pool.query('select 1').catch((cause) => {
      throw new RowhouseError('database_unavailable', { headers: { 'Retry-After': '1' }, cause });
    });
    await checkPools();
    return { status: 'ready' };
  });
}
