import { fastify } from 'fastify';
import { type Caller, callerReader } from './tokens.ts';

export interface NewFile {
  name: string;
  content_type: string;
  size: number;
}

/** What a service answers from. Rows are objects, or JSON that PostgreSQL has made already. */
export interface Store {
  newestFiles(caller: Caller): Promise<unknown>;
  file(caller: Caller, id: string): Promise<unknown>;
  /** The newest 20 of that status with their findings, and how many there are. */
  jobs(caller: Caller, status: string): Promise<{ rows: unknown; count: number }>;
  addFile(caller: Caller, file: NewFile): Promise<unknown>;
}

const JSON_TYPE = 'application/json; charset=utf-8';

/** What one would write by hand for these questions. No log, no limits, no errors worth the name. Tells the parent its address. */
export async function serve(store: Store, keys: string): Promise<void> {
  const callerOf = callerReader(keys);
  const server = fastify();

  server.get('/files', async ({ headers }, reply) =>
    reply.type(JSON_TYPE).send(await store.newestFiles(await callerOf(headers.authorization))),
  );
  server.get<{ Params: { id: string } }>('/files/:id', async ({ headers, params }, reply) =>
    reply.type(JSON_TYPE).send(await store.file(await callerOf(headers.authorization), params.id)),
  );
  server.get<{ Querystring: { status: string } }>('/jobs', async ({ headers, query }, reply) => {
    const { rows, count } = await store.jobs(await callerOf(headers.authorization), query.status);
    return reply.type(JSON_TYPE).header('content-range', `0-19/${count}`).send(rows);
  });
  server.post<{ Body: NewFile }>('/files', async ({ headers, body }, reply) => {
    await store.addFile(await callerOf(headers.authorization), body);
    return reply.code(201).send();
  });

  process.on('disconnect', () => process.exit());
  const address = await server.listen({ host: '127.0.0.1', port: 0 });
  process.send?.(address);
}
