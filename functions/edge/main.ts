import { edgeSchema } from '../config.ts';
import { createPool } from '../database.ts';
import { superviseProcess } from '../process.ts';
import { createStorage } from '../storage/storage.ts';
import { createServer } from './server.ts';

await superviseProcess('edge', edgeSchema, async (config, log) => {
  const { EDGE_HOST: host, EDGE_PORT: port } = config;
  const pool = createPool(config.EDGE_DATABASE_URL, 'rowhouse-edge');
  const server = createServer({
    log,
    pool,
    storage: await createStorage(config, config.EDGE_PUBLIC_URL ?? `http://${host}:${port}`),
    postgrestUrl: config.POSTGREST_URL,
    uploads: { maxBytes: config.STORAGE_MAX_BYTES, urlTtlSeconds: config.STORAGE_URL_TTL_SECONDS },
  });
  await server.listen({ host, port });
  return {
    async stop() {
      await server.close();
      await pool.end();
    },
  };
});
