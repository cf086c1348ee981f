import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import { acknowledge, type Counts, floorsOf, judge, type Row, type TenantModel } from './model.ts';

interface Reply {
  status: number;
  cache: string;
  text: string;
}

const JSON_TYPE = { 'content-type': 'application/json' };
/** A write that is carried out late must not undo a newer one. */
const newer = ({ id }: Row, version: number) => `/counters?id=eq.${id}&version=lt.${version}`;
const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T;

/** Random operations through the edges, each judged by what had been acknowledged when it was sent. */
export function createOperations(edges: readonly string[], tenants: readonly TenantModel[], counts: Counts) {
  const pools = edges.map((url) => new Pool(url, { connections: 32, headersTimeout: 15_000, bodyTimeout: 15_000 }));
  const markers = tenants.map(({ marker }) => marker);

  async function send(
    edge: number,
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    token: string,
    body?: object,
  ) {
    const headers = { authorization: `Bearer ${token}`, ...(body ? JSON_TYPE : {}) };
    const request = { method, path: `/v1${path}`, headers, body: body ? JSON.stringify(body) : null };
    const answer = await (pools[edge] as Pool).request(request).catch(() => undefined);
    if (!answer) return undefined;
    const text = await answer.body.text().catch(() => undefined);
    if (text === undefined) return undefined;
    return { status: answer.statusCode, cache: String(answer.headers['x-cache']), text } satisfies Reply;
  }

  async function get(edge: number, tenant: TenantModel, token: string, path: string): Promise<Reply | undefined> {
    counts.reads += 1;
    const reply = await send(edge, 'GET', path, token);
    if (reply && markers.some((marker) => marker !== tenant.marker && reply.text.includes(marker))) counts.foreign += 1;
    if (reply?.status === 200 && reply.cache === 'HIT') counts.hits += 1;
    return reply;
  }

  /** One row, the list, or their sum through a view: the versions seen add up to at least those acknowledged. */
  async function read(tenant: TenantModel): Promise<void> {
    const edge = Math.floor(Math.random() * edges.length);
    const shape = Math.random();
    const row = pick(tenant.rows);
    const [rows, path] =
      shape < 0.4
        ? [[row], `/counters?select=version,marker&id=eq.${row.id}`]
        : shape < 0.7
          ? [tenant.rows, '/counters?select=version,marker&order=id']
          : [tenant.rows, '/totals?select=version,marker'];
    const floors = floorsOf(rows, edge);
    const reply = await get(edge, tenant, pick(tenant.tokens), path);
    if (reply?.status !== 200) {
      counts.errors += 1;
      return;
    }
    const answer = JSON.parse(reply.text) as { version: number; marker: string }[];
    judge(
      counts,
      answer.reduce((sum, { version }) => sum + version, 0),
      floors,
    );
  }

  async function write(tenant: TenantModel, row: Row): Promise<void> {
    counts.writes += 1;
    row.writing = true;
    const version = ++row.issued;
    const reply = await send(row.home, 'PATCH', newer(row, version), tenant.tokens[0] as string, { version });
    if (reply?.status === 204) acknowledge(row, version);
    else {
      counts.errors += 1;
      await settle(tenant, row);
    }
    row.writing = false;
  }

  /** After a write without an answer, which may have been carried out or not: one that is answered. */
  async function settle(tenant: TenantModel, row: Row): Promise<void> {
    for (let tries = 0; tries < 50; tries++) {
      await delay(200);
      const version = ++row.issued;
      const reply = await send(row.home, 'PATCH', newer(row, version), tenant.tokens[0] as string, { version });
      if (reply?.status === 204) return acknowledge(row, version);
    }
    throw new Error('no write is answered any more');
  }

  /** The guest is added or removed through one edge; from the answer on, every edge has to know. */
  async function changeGuest({ guest, tokens }: TenantModel): Promise<void> {
    counts.writes += 1;
    guest.changing = true;
    guest.epoch += 1;
    const edge = Math.floor(Math.random() * edges.length);
    const token = tokens[0] as string;
    const remove = () => send(edge, 'DELETE', '/members?user_id=eq.guest', token);
    const add = () => send(edge, 'POST', '/members', token, { user_id: 'guest', role: 'member' });
    let reply = guest.member ? await remove() : await add();
    while (!reply || reply.status >= 300) {
      // It may have happened, or be about to: once it cannot be any more, the guest is removed for certain.
      counts.errors += 1;
      await delay(3000);
      guest.member = true;
      reply = await remove();
    }
    guest.member = !guest.member;
    guest.changing = false;
  }

  async function readAsGuest(tenant: TenantModel): Promise<void> {
    const { guest } = tenant;
    const { epoch, member, changing } = guest;
    const edge = Math.floor(Math.random() * edges.length);
    const reply = await get(edge, tenant, guest.token, '/counters?select=version,marker&order=id');
    const wasOut = !member && !changing && guest.epoch === epoch;
    if (reply?.status === 200 && wasOut) counts.lateRefusals += 1;
  }

  return {
    /** Takes one tenant's answer for another's: the check has to say so. */
    async mistake(): Promise<void> {
      const [mine, other] = tenants as [TenantModel, TenantModel];
      await get(0, mine, other.tokens[0] as string, '/counters?select=marker');
    },
    async one(): Promise<void> {
      counts.operations += 1;
      const tenant = pick(tenants);
      const kind = Math.random();
      const row = pick(tenant.rows);
      if (kind < 0.03 && !row.writing) return write(tenant, row);
      if (kind < 0.032 && !tenant.guest.changing) return changeGuest(tenant);
      if (kind < 0.08) return readAsGuest(tenant);
      return read(tenant);
    },
    close: () => Promise.all(pools.map((pool) => pool.close())),
  };
}
