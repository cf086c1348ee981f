import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type OpenStream, openStream } from './sse.ts';

// Members come and go faster than the database can say who of the streams may stay: that takes a second for a thousand of them.

let stack: TestStack;
const open: OpenStream[] = [];
const tenant = 't_churn';

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
  await stack.createTenant(tenant);
  await stack.admin.query(`
    alter function ledger.review_tokens(text[]) rename to review_tokens_at_once;
    create function ledger.review_tokens(tokens text[]) returns table (nth integer, tenant_role text, refusal jsonb) language plpgsql as $$
    begin
      perform pg_sleep(0.3);
      return query select * from ledger.review_tokens_at_once(tokens);
      perform pg_sleep(0.3);
    end $$;
    grant execute on function ledger.review_tokens(text[]) to rowhouse_edge`);
});
afterEach(() => {
  for (const stream of open.splice(0)) stream.close();
});
afterAll(() => stack?.stop());

async function listen(user: string, headers = {}): Promise<OpenStream> {
  const stream = await openStream(stack.edge, { token: await stack.token({ tenant, role: 'member', user }), headers });
  open.push(stream);
  return stream;
}

const insert = (name: string) =>
  `insert into app.files (tenant_id, kind, name, content_type, size, created_by)
   values ('${tenant}', 'upload', '${name}', 'text/csv', 1, 'test')`;
const names = (stream: OpenStream) =>
  stream.events.filter(({ event }) => event === 'app.files.inserted').map(({ data }) => data.data.new?.name);

/** Does it while members come and go, some forty times a second. */
async function whileMembersChange(work: () => Promise<void>): Promise<number> {
  let changes = 0;
  let done = false;
  const churn = connected(stack.database.admin, async (client) => {
    for (; !done; changes++) {
      await client.query(`update tenancy.members set role = case role when 'viewer' then 'member' else 'viewer' end
        where tenant_id = '${tenant}' and user_id = 'viewer'`);
      await delay(25);
    }
  });
  try {
    await delay(1000);
    await work();
  } finally {
    done = true;
    await churn;
  }
  return changes;
}

test('streams have their events all the while, those that come back as well, and nobody who was removed has any', async () => {
  const stayer = await listen('member');
  const leavers = await Promise.all(
    Array.from({ length: 8 }, async (_, nth) => {
      await stack.addMember(tenant, `leaver${nth}`, 'member');
      return listen(`leaver${nth}`);
    }),
  );
  const everyone = [stayer, ...leavers];
  const haveAll = (streams: OpenStream[], wanted: string[]) =>
    expect.poll(() => streams.map(names), { timeout: 8000 }).toEqual(streams.map(() => wanted));
  await stack.admin.query(insert('before'));
  await haveAll(everyone, ['before']);

  const changes = await whileMembersChange(async () => {
    await stack.admin.query(insert('meanwhile'));
    await haveAll(everyone, ['before', 'meanwhile']);
    const seen = stayer.events.find(({ data }) => data.data.new?.name === 'before')?.id;
    const late = await listen('admin', { 'last-event-id': String(seen) });
    await haveAll([late], ['meanwhile']);
    for (const [nth, leaver] of leavers.entries()) {
      await stack.admin.query(
        `with gone as (delete from tenancy.members where tenant_id = '${tenant}' and user_id = 'leaver${nth}' returning 1)
         ${insert(`gone${nth}`)}`,
      );
      expect(await leaver.ended).toBe('ended');
    }
    await haveAll([stayer], ['before', 'meanwhile', ...leavers.map((_, nth) => `gone${nth}`)]);
  });
  expect(changes).toBeGreaterThan(80);
  for (const [nth, leaver] of leavers.entries()) {
    expect(leaver.reason()?.code).toBe('membership_required');
    expect(names(leaver)).not.toContain(`gone${nth}`);
  }
});
