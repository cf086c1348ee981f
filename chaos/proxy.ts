import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A way to the database that can be held up or cut. */
export interface DatabaseProxy {
  /** The same database, by way of the proxy. */
  url: string;
  /** Passes nothing on, either way, for so long; to connections of the application of that name, or to all. */
  pause(ms: number, application?: string): void;
  cut(application?: string): void;
  close(): Promise<void>;
}

interface Connection {
  client: Socket;
  server: Socket;
  /** From the startup message, which is sent in the clear. */
  application: string;
}

export async function openProxy(databaseUrl: string): Promise<DatabaseProxy> {
  const target = new URL(databaseUrl);
  const connections = new Set<Connection>();

  const listener = createServer((client) => {
    const server = connect(Number(target.port), target.hostname);
    const connection: Connection = { client, server, application: '' };
    connections.add(connection);
    client.once('data', (first) => {
      connection.application = /application_name\0([^\0]*)\0/.exec(first.toString('latin1'))?.[1] ?? '';
      server.write(first);
      client.pipe(server);
    });
    server.pipe(client);
    const end = () => {
      connections.delete(connection);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) socket.setNoDelay(true).on('error', end).on('close', end);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const url = new URL(databaseUrl);
  url.port = String((listener.address() as { port: number }).port);

  const named = (application?: string) =>
    [...connections].filter((connection) => application === undefined || connection.application === application);

  return {
    url: url.href,
    pause(ms, application) {
      for (const { client, server } of named(application)) {
        client.unpipe(server);
        server.unpipe(client);
        client.pause();
        server.pause();
        setTimeout(() => {
          if (client.destroyed || server.destroyed) return;
          client.pipe(server);
          server.pipe(client);
        }, ms).unref();
      }
    },
    cut(application) {
      for (const { client, server } of named(application)) {
        client.destroy();
        server.destroy();
      }
    },
    async close() {
      listener.close();
      for (const { client, server } of connections) {
        client.destroy();
        server.destroy();
      }
      await once(listener, 'close');
    },
  };
}
