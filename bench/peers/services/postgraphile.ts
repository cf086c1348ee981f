import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { postgraphile } from 'postgraphile';
import { makePgService } from 'postgraphile/adaptors/pg';
import { grafserv } from 'postgraphile/grafserv/node';
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber';
import { POOL } from './fork.ts';
import { callerReader } from './tokens.ts';

// PostGraphile 5 with its preset for new projects, on Node's own HTTP server: the leanest of its adaptors.
// node postgraphile.ts <any> <database URL> <JWKS>

const [, connectionString = '', keys = ''] = process.argv.slice(2);
const callerOf = callerReader(keys);

const instance = postgraphile({
  extends: [PostGraphileAmberPreset],
  // Would leave out orders and conditions whose column does not come first in an index: here tenant_id does, and policies ask for it.
  disablePlugins: ['PgIndexBehaviorsPlugin'],
  pgServices: [makePgService({ connectionString, schemas: ['peer'], poolConfig: POOL })],
  grafserv: { graphiql: false, watch: false },
  grafast: {
    explain: false,
    async context({ node }: { node?: { req: IncomingMessage } }) {
      const { claims } = await callerOf(node?.req.headers.authorization);
      return { pgSettings: { role: 'peer_user', 'request.jwt.claims': JSON.stringify(claims) } };
    },
  },
});

const server = createServer();
await instance.createServ(grafserv).addTo(server);
process.on('disconnect', () => process.exit());
server.listen(0, '127.0.0.1', () => process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
