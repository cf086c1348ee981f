import type { Socket } from 'node:net';

const waiting = new WeakMap<Socket, Set<() => void>>();

/**
 * Calls `gone` when the client closes its connection. One listener serves all requests of a connection: clients may pipeline.
 * @returns stops listening
 */
export function onDisconnect(socket: Socket, gone: () => void): () => void {
  let listeners = waiting.get(socket);
  if (!listeners) {
    const added = new Set<() => void>();
    listeners = added;
    waiting.set(socket, added);
    socket.once('close', () => {
      for (const listener of added) listener();
    });
  }
  listeners.add(gone);
  return () => listeners.delete(gone);
}
