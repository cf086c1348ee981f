import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Ask, Said } from './receiver.ts';

/** Accepts everything at once. Events are told apart by their webhook-id, once the whole body is there. */

interface Place {
  ids: Set<string>;
  expected: number;
  arrivals: [string, number][];
}

const places = new Map<string, Place>();
const say = (said: Said) => process.send?.(said);
const now = () => performance.timeOrigin + performance.now();

/** Without its query: several endpoints may share a path. */
function placeOf(url: string): [string, Place] {
  const path = url.split('?', 1)[0] as string;
  let place = places.get(path);
  if (!place) {
    place = { ids: new Set(), expected: Number.POSITIVE_INFINITY, arrivals: [] };
    places.set(path, place);
  }
  return [path, place];
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const at = now();
    response.writeHead(200).end();
    const [path, place] = placeOf(request.url ?? '');
    const id = String(request.headers['webhook-id']);
    if (place.ids.has(id)) return;
    place.ids.add(id);
    if (path.startsWith('/timed')) place.arrivals.push([JSON.parse(Buffer.concat(chunks).toString()).subject, at]);
    if (place.ids.size === place.expected) say({ said: 'reached', path, at });
  });
});
server.keepAliveTimeout = 60_000;

process.on('message', (ask: Ask) => {
  const [path, place] = placeOf(ask.path);
  if (ask.ask === 'take') {
    say({ said: 'taken', path, arrivals: place.arrivals, count: place.ids.size });
    places.delete(path);
    return;
  }
  // As many as that after those that are there.
  place.expected = place.ids.size + ask.count;
});
process.on('disconnect', () => process.exit());
server.listen(0, '127.0.0.1', () => say({ said: 'listening', port: (server.address() as AddressInfo).port }));
