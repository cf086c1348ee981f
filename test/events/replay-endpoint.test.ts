import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { packageRoot } from '../../functions/paths.ts';
import { generateKeyPair } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type Webhooks, WORKER_ENV, webhooks } from '../webhooks/api.ts';
import { type Receiver, startReceiver } from '../webhooks/receiver.ts';

// `rowhouse events replay --endpoint`, as an operator has a tenant's events delivered again.

let stack: TestStack;
let receiver: Receiver;
let acme: Webhooks;
let globex: Webhooks;
/** Of acme's endpoint, and of the four events that it was sent. */
let id: string;
let positions: number[];
let globexId: string;

beforeAll(async () => {
  receiver = await startReceiver();
  const { privateKey } = await generateKeyPair();
  stack = await createTestStack({ worker: true, env: { ...WORKER_ENV, WEBHOOK_PRIVATE_KEY: privateKey } });
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  [acme, globex] = [await webhooks(stack, 't_acme'), await webhooks(stack, 't_globex')];
  const event_types = ['order.*'];
  ({ id } = await acme.create({ url: receiver.url('acme'), event_types }));
  ({ id: globexId } = await globex.create({ url: receiver.url('globex'), event_types }));
  for (let n = 0; n < 4; n += 1) {
    for (const tenant of [acme, globex]) await tenant.emit('order.paid', `o${n}`, { n });
    await acme.emit('invoice.paid', `i${n}`, { n });
  }
  for (const path of ['acme', 'globex']) await receiver.got(path, 4);
  positions = (await settled(acme, id)).map(({ position }) => position);
  await settled(globex, globexId);
});

afterAll(async () => {
  await stack?.stop();
  await receiver?.stop();
});

const settled = (tenant: Webhooks, endpoint: string) =>
  tenant.settled(endpoint, (all) => all.length === 4 && all.every(({ status }) => status === 'succeeded'));

let before: Record<'acme' | 'globex', number>;
beforeEach(() => {
  before = { acme: receiver.at('acme').length, globex: receiver.at('globex').length };
});

/** The events that came to a path since the test began, sorted. */
const cameTo = (path: 'acme' | 'globex') =>
  receiver
    .at(path)
    .slice(before[path])
    .map(({ event }) => event.data.n)
    .sort();

/** `rowhouse events replay --endpoint … --tenant …`: exit code, and what it printed. */
function replay(args: string[], endpoint = id, tenant = 't_acme'): Promise<[code: number, printed: string]> {
  const target = ['events', 'replay', '--endpoint', endpoint, '--tenant', tenant];
  return new Promise((resolve) => {
    const env = { ...process.env, DATABASE_URL: stack.database.migrator };
    const command = [join(packageRoot, 'functions/cli/main.ts'), ...target, ...args];
    const child = execFile(process.execPath, command, { env }, (_error, stdout, stderr) => {
      resolve([child.exitCode ?? -1, stdout || stderr]);
    });
  });
}

async function json(...args: string[]): Promise<[code: number, value: unknown]> {
  const [code, printed] = await replay([...args, '--json']);
  return [code, JSON.parse(printed)];
}

/** What a replay has put back is not settled before it has come. */
async function nothingMore(): Promise<void> {
  await settled(acme, id);
  await settled(globex, globexId);
}

test('delivers again what an endpoint asks for, from a position on, with the ids it had', async () => {
  const from = String(positions[1]);
  expect(await json('--from', from, '--yes')).toEqual([
    0,
    { tenant: 't_acme', endpoint: id, deliveries: 3, dry_run: false },
  ]);
  await receiver.got('acme', before.acme + 3);
  await nothingMore();
  expect(cameTo('acme')).toEqual([1, 2, 3]);
  expect(cameTo('globex')).toEqual([]);
  const again = receiver.at('acme').slice(before.acme);
  expect(again.map(({ headers }) => headers['webhook-id']).sort()).toEqual(
    positions.slice(1).map((position) => `evt_${position}`),
  );
});

test('delivers no more than --to, which is the last', async () => {
  const range = ['--from', `evt_${positions[1]}`, '--to', `evt_${positions[2]}`];
  expect(await replay([...range, '--yes'])).toEqual([0, "2 events will be delivered again, at the endpoint's rate.\n"]);
  await receiver.got('acme', before.acme + 2);
  await nothingMore();
  expect(cameTo('acme')).toEqual([1, 2]);
  expect(cameTo('globex')).toEqual([]);
});

test('delivers nothing with --dry-run, nor without approval, and says how much it would be', async () => {
  const range = ['--from', `evt_${positions[0]}`, '--to', `evt_${positions[2]}`];
  const would = { tenant: 't_acme', endpoint: id, deliveries: 3, dry_run: true };
  expect(await json(...range, '--dry-run')).toEqual([0, would]);
  expect(await json(...range, '--dry-run', '--yes')).toEqual([0, would]);
  expect(await replay([...range, '--dry-run'])).toEqual([0, '3 events would be delivered again. Nothing was done.\n']);
  expect(await json('--from', '0', '--to', `evt_${positions[0]}`, '--dry-run')).toMatchObject([0, { deliveries: 1 }]);
  expect(await json(...range)).toMatchObject([2, { code: 'usage_invalid' }]);
  await nothingMore();
  expect(cameTo('acme')).toEqual([]);
});

test('refuses a range that ends before it begins', async () => {
  const range = ['--from', `evt_${positions[1]}`, '--to', `evt_${positions[0]}`];
  expect(await json(...range, '--dry-run')).toMatchObject([1, { code: 'webhook_replay_invalid' }]);
  expect(await json(...range, '--yes')).toMatchObject([1, { code: 'webhook_replay_invalid' }]);
});

test('delivers nothing to an endpoint of another tenant than the one that is named', async () => {
  const [code, printed] = await replay(['--from', '0', '--yes', '--json'], globexId);
  expect([code, JSON.parse(printed)]).toMatchObject([1, { code: 'webhook_endpoint_unknown' }]);
  await nothingMore();
  expect(cameTo('globex')).toEqual([]);
  expect((await replay(['--from', '0', '--yes'], globexId, 't_globex'))[0]).toBe(0);
  await receiver.got('globex', before.globex + 4);
  expect(cameTo('globex')).toEqual([0, 1, 2, 3]);
  expect(cameTo('acme')).toEqual([]);
});
