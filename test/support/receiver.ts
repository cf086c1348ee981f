import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Certificate } from './certificate.ts';

/** A server that ends with the test. */
export interface Receiver {
  url: string;
  port: number;
  /** How many connections it has taken. */
  connections(): number;
  /** Closes what is connected, and goes on listening. */
  disconnect(): void;
}

async function listening(server: Server, scheme: string, host: string, port: number): Promise<Receiver> {
  const sockets = new Set<Socket>();
  let connections = 0;
  server.on('connection', (socket) => {
    connections++;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  const disconnect = () => {
    for (const socket of sockets) socket.destroy();
  };
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  onTestFinished(() => {
    server.close();
    disconnect();
  });
  const taken = (server.address() as AddressInfo).port;
  return { url: `${scheme}://${host}:${taken}/hook`, port: taken, connections: () => connections, disconnect };
}

interface Place {
  host?: string;
  port?: number;
  certificate?: Certificate;
}

export function httpReceiver(listener: RequestListener, { host = '127.0.0.1', port = 0, certificate }: Place = {}) {
  const server = certificate ? createHttpsServer(certificate, listener) : createHttpServer(listener);
  return listening(server, certificate ? 'https' : 'http', host, port);
}

/** One that speaks whatever the test says, HTTP or not. */
export function tcpReceiver(onConnection: (socket: Socket) => void, { host = '127.0.0.1', port = 0 }: Place = {}) {
  return listening(createTcpServer(onConnection), 'http', host, port);
}
