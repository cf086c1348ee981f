import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const BODY = JSON.stringify(
  Array.from({ length: 20 }, (_, nth) => ({ id: crypto.randomUUID(), name: `file-${nth}.csv`, size: nth * 1000 })),
);

const server = createServer((_, response) => {
  response.setHeader('content-type', 'application/json; charset=utf-8');
  response.write(BODY);
  response.end();
});
server.listen(0, '127.0.0.1', () => {
  process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
