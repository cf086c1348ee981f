import type { FastifyInstance } from 'fastify';
import { request } from 'undici';
import type { Pool } from '../database.ts';
import { RowhouseError } from '../errors.ts';

/** `/healthz`: the process answers. `/readyz`: so do the database and PostgREST. */
export function serveHealth(server: FastifyInstance, pool: Pool, postgrestUrl: string): void {
  const unavailable = (code: 'database_unavailable' | 'upstream_unavailable') => (cause: unknown) => {
    throw new RowhouseError(code, { headers: { 'Retry-After': '1' }, cause });
  };

  server.get('/healthz', async () => ({ status: 'ok' }));

  server.get('/readyz', async () => {
    await pool.query('select 1').catch(unavailable('database_unavailable'));
    const timeouts = { headersTimeout: 5000, bodyTimeout: 5000 };
    const answer = await request(postgrestUrl, { method: 'HEAD', ...timeouts }).catch(
      unavailable('upstream_unavailable'),
    );
    await answer.body.dump();
    // Any refusal (there is no token) means that PostgREST has loaded its schema and reached the gate.
    if (answer.statusCode >= 500) unavailable('upstream_unavailable')(`status ${answer.statusCode}`);
    return { status: 'ready' };
  });
}
