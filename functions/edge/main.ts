import { edgeSchema, readConfig } from '../config.ts';
import { createPool } from '../database.ts';
import { createLog } from '../log.ts';
import { superviseProcess } from '../process.ts';
import { createStorage } from '../storage/storage.ts';
import { createServer } from './server.ts';

const log = createLog('edge');

await superviseProcess('edge', log, async () => {
  const config = readConfig(edgeSchema);
  const { EDGE_HOST: host, EDGE_PORT: port } = config;
  const pool = createPool(config.EDGE_DATABASE_URL, 'rowhouse-edge');
  const server = createServer({
    log,
    pool,
    storage: createStorage(config, config.EDGE_PUBLIC_URL ?? `http://${host}:${port}`),
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
