import { fastify } from 'fastify';
import { type JWTHeaderParameters, type JWTPayload, jwtVerify } from 'jose';
import pg from 'pg';
import { tunedLists } from './tuned.ts';

// What one would write by hand for this one question: the newest files of the caller's tenant. No log, no limits, no errors worth the name.
// node service.ts <mode> <database URL> <JWKS>

const [mode = '', connectionString, keys = ''] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString, max: 8 });

const secrets = new Map<string, Buffer>();
for (const { kid, k } of JSON.parse(keys).keys) secrets.set(kid, Buffer.from(k, 'base64url'));

function secretOf({ kid = '' }: JWTHeaderParameters): Buffer {
  const secret = secrets.get(kid);
  if (!secret) throw new Error('no such key');
  return secret;
}

type List = (token: string, claims: JWTPayload) => Promise<unknown>;

const COLUMNS = 'id, name, size::int, status, created_at';
const NEWEST = 'order by created_at desc, id desc limit 20';

const lists: Record<string, List> = {
  /** Behind the same wall: the tenant's rows of the same table, by its policies, after the same check of token and membership. */
  async rls(token) {
    const client = await pool.connect();
    try {
      await client.query('begin');
      await client.query('select auth.enter($1)', [token]);
      await client.query('set local role tenant_user');
      const { rows } = await client.query(`select ${COLUMNS} from v1.files ${NEWEST}`);
      await client.query('commit');
      return rows;
    } finally {
      client.release();
    }
  },
  async plain(_token, { tenant_id }) {
    const { rows } = await pool.query(`select ${COLUMNS} from peer.all_files where tenant_id = $1 ${NEWEST}`, [
      tenant_id,
    ]);
    return rows;
  },
  ...tunedLists(pool),
};

const list = lists[mode] as List;
const server = fastify();
server.get('/files', async (request, reply) => {
  const token = request.headers.authorization?.slice('Bearer '.length) ?? '';
  const { payload } = await jwtVerify(token, secretOf, {
    algorithms: ['HS256'],
    issuer: 'rowhouse',
    audience: 'rowhouse',
  });
  return reply.type('application/json; charset=utf-8').send(await list(token, payload));
});

process.on('disconnect', () => process.exit());
const address = await server.listen({ host: '127.0.0.1', port: 0 });
process.send?.(address);
