import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { frontendMessages, type Parsed, readBind, readParse } from './wire.ts';

/** A statement as a client of PostgreSQL prepared and ran it. */
export interface Recorded {
  text: string;
  /** Type of each parameter as the client declared it: 0 where PostgreSQL shall infer it. */
  types: readonly number[];
  values: readonly (string | null)[];
}

export interface Recorder {
  /** The same database, by way of the recorder. */
  url: string;
  /** What was run since the last call, in order, over all connections. */
  take(): Recorded[];
  close(): Promise<void>;
}

/**
 * Passes everything on between a client and PostgreSQL, and reads the client's Parse and Bind messages: exact texts, types and values,
 * which a log rounds off and pg_stat_statements, not there in every server, rewrites.
 */
export async function openRecorder(databaseUrl: string): Promise<Recorder> {
  const target = new URL(databaseUrl);
  const recorded: Recorded[] = [];
  const sockets = new Set<{ destroy(): void }>();

  const listener = createServer((client) => {
    const server = connect(Number(target.port), target.hostname);
    const prepared = new Map<string, Parsed>();
    const read = frontendMessages((type, body) => {
      if (type === 'P') {
        const parsed = readParse(body);
        prepared.set(parsed.name, parsed);
      } else if (type === 'B') {
        const bound = readBind(body, (name) => prepared.get(name)?.types ?? []);
        const parsed = prepared.get(bound.statement);
        if (parsed) recorded.push({ text: parsed.text, types: parsed.types, values: bound.values });
      }
    });
    client.on('data', (chunk: Buffer) => {
      read(chunk);
      server.write(chunk);
    });
    server.pipe(client);
    const end = () => {
      for (const socket of [client, server]) {
        sockets.delete(socket);
        socket.destroy();
      }
    };
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.setNoDelay(true).on('error', end).on('close', end);
    }
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const url = new URL(databaseUrl);
  url.port = String((listener.address() as { port: number }).port);

  return {
    url: url.href,
    take: () => recorded.splice(0),
    async close() {
      listener.close();
      for (const socket of sockets) socket.destroy();
      await once(listener, 'close');
    },
  };
}
