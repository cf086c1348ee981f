import { spawn } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packageRoot } from '../../functions/paths.ts';
import { createSecretOpener, generateKeyPair, keyLine } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type TestWorker, testWorker } from '../support/worker.ts';
import { type Endpoint, type Webhooks, WORKER_ENV, webhooks } from './api.ts';
import { type Received, type Receiver, startReceiver } from './receiver.ts';

// The key that secrets of endpoints are encrypted for is exchanged, without a delivery that cannot be signed. Each test goes on where the
// one before has ended.

interface KeyUsage {
  key_id: string;
  newest: boolean;
  secrets: number;
}

/** A worker looks for what is left over once a second, or less often where the machine is busy. */
const PATIENT = { timeout: 40_000 };

let stack: TestStack;
let receiver: Receiver;
let worker: TestWorker | undefined;
const tenants: Record<string, Webhooks> = {};
const made: Record<string, Endpoint> = {};
const keys: Record<'older' | 'newer', { line: string; id: string }> = {} as never;

/** More than are rewrapped in one transaction: a shared secret, a key pair and the values of headers. */
const HEADERS = Object.fromEntries(Array.from({ length: 20 }, (_, nth) => [`x-${nth}`, `value ${nth}`]));
const ENDPOINTS = 5;
const SECRETS = 2 * ENDPOINTS * (2 + Object.keys(HEADERS).length);

beforeAll(async () => {
  for (const name of ['older', 'newer'] as const) {
    const { privateKey } = await generateKeyPair();
    keys[name] = { line: await keyLine(privateKey), id: (await createSecretOpener(privateKey)).keyId };
  }
  receiver = await startReceiver();
  stack = await createTestStack();
  for (const tenant of ['t_acme', 't_globex']) {
    await stack.createTenant(tenant);
    tenants[tenant] = await webhooks(stack, tenant);
  }
});

afterAll(async () => {
  await worker?.stop();
  await stack?.stop();
  await receiver?.stop();
});

/** Ends the worker that there is and starts one that holds these keys. */
async function workWith(...names: (keyof typeof keys)[]): Promise<TestWorker> {
  await worker?.stop();
  const WEBHOOK_PRIVATE_KEY = names.map((name) => keys[name].line).join(',');
  worker = testWorker(stack, { env: { ...WORKER_ENV, WEBHOOK_PRIVATE_KEY } });
  await worker.start();
  return worker;
}

/** As an operator sees it. */
async function usage(): Promise<KeyUsage[]> {
  const child = spawn(process.execPath, [join(packageRoot, 'bin/rowhouse.js'), 'webhook-key', 'list', '--json'], {
    env: { ...process.env, DATABASE_URL: stack.database.migrator },
  });
  let printed = '';
  for await (const chunk of child.stdout) printed += chunk;
  return (JSON.parse(printed) as KeyUsage[]).map(({ key_id, newest, secrets }) => ({ key_id, newest, secrets }));
}

const older = (secrets: number, newest = false) => ({ key_id: keys.older.id, newest, secrets });
const newer = (secrets: number, newest = true) => ({ key_id: keys.newer.id, newest, secrets });

async function expectSigned({ raw, headers, event }: Received, { id, secret }: Endpoint, tenant: string) {
  expect(new Webhook(secret).verify(raw, headers)).toEqual(event);
  expect(headers).toMatchObject(HEADERS);
  const [key = ''] = (await tenants[tenant]?.endpoint(id))?.public_keys ?? [];
  const x = Buffer.from(key.slice('whpk_'.length), 'base64').toString('base64url');
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const [, signature = ''] = /v1a,(\S+)/.exec(headers['webhook-signature'] ?? '') ?? [];
  const signed = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${raw}`);
  expect(verify(null, signed, publicKey, Buffer.from(signature, 'base64'))).toBe(true);
}

/** Each tenant emits an event, which each of its endpoints gets, signed with the secret that was shown when it was made. */
async function expectDeliveries(type: string): Promise<void> {
  for (const tenant of Object.keys(tenants)) {
    await tenants[tenant]?.emit(type, 's', { tenant });
    for (let nth = 0; nth < ENDPOINTS; nth++) {
      const at = `${tenant}/${nth}`;
      await expect.poll(() => receiver.at(at).filter(({ event }) => event.type === type).length, PATIENT).toBe(1);
      const [received] = receiver.at(at).filter(({ event }) => event.type === type);
      await expectSigned(received as Received, made[at] as Endpoint, tenant);
    }
  }
}

test('secrets are encrypted for the key of the workers', async () => {
  await workWith('older');
  for (const tenant of Object.keys(tenants)) {
    for (let nth = 0; nth < ENDPOINTS; nth++) {
      const at = `${tenant}/${nth}`;
      const fields = { url: receiver.url(at), event_types: ['key.*'], signing: ['v1', 'v1a'], headers: HEADERS };
      made[at] = (await tenants[tenant]?.create(fields)) as Endpoint;
    }
    await expect
      .poll(
        async () => (await tenants[tenant]?.endpoint(made[`${tenant}/4`]?.id as string))?.public_keys.length,
        PATIENT,
      )
      .toBe(1);
  }
  await expectDeliveries('key.before');
  expect(await usage()).toEqual([older(SECRETS, true)]);
}, 120_000);

test('a second key behind the first changes nothing', async () => {
  await workWith('older', 'newer');
  await expectDeliveries('key.second');
  expect(await usage()).toEqual([older(SECRETS, true)]);
}, 120_000);

test('a worker without the older key cannot deliver, says so, and leaves the secrets as they are', async () => {
  const { lines } = await workWith('newer');
  await tenants.t_acme?.emit('key.unreadable', 's', {});
  const said = (msg: string) => lines().filter((line) => line.includes(`"msg":"${msg}"`));
  await expect.poll(() => said('secrets not opened').length, PATIENT).toBe(ENDPOINTS);
  await expect.poll(() => said('webhook secrets cannot be opened: this worker lacks the key').length, PATIENT).toBe(1);
  expect(JSON.parse(said('webhook secrets cannot be opened: this worker lacks the key')[0] ?? '')).toMatchObject({
    key_id: keys.older.id,
    secrets: SECRETS,
  });
  expect(await usage()).toEqual([newer(0), older(SECRETS)]);
  const health = async () => (await tenants.t_acme?.endpoint(made['t_acme/0']?.id as string))?.health.last_error;
  await expect.poll(health, PATIENT).toBe('its secrets cannot be opened');
  expect(receiver.at('t_acme/0').map(({ event }) => event.type)).not.toContain('key.unreadable');
  // They rest for a minute otherwise.
  for (let nth = 0; nth < ENDPOINTS; nth++) {
    for (const enabled of [false, true]) await tenants.t_acme?.change(made[`t_acme/${nth}`]?.id as string, { enabled });
  }
}, 120_000);

test('who goes back to the older key has secrets encrypted for it again', async () => {
  await workWith('older', 'newer');
  await expectDeliveries('key.rolledback');
  expect(await usage()).toEqual([older(SECRETS, true), newer(0, false)]);
}, 120_000);

test('a worker that has the newest key first encrypts all of them for it, and delivers meanwhile', async () => {
  const { lines } = await workWith('newer', 'older');
  await expectDeliveries('key.both');
  await expect.poll(usage, PATIENT).toEqual([newer(SECRETS), older(0)]);
  await expect
    .poll(
      () => lines().filter((line) => line.includes('"msg":"webhook secrets are encrypted for the newest key"')),
      PATIENT,
    )
    .toHaveLength(1);
  expect(lines().find((line) => line.includes('encrypted for the newest key'))).toContain(`"rewrapped":${SECRETS}`);
}, 120_000);

test('then the older key is not needed any more', async () => {
  await workWith('newer');
  await expectDeliveries('key.after');
  const again = await tenants.t_acme?.call<Endpoint>('rotate_webhook_secret', { id: made['t_acme/0']?.id });
  expect(again?.status).toBe(200);
  expect(await usage()).toEqual([newer(SECRETS + 2), older(0)]);
}, 120_000);

test('two workers share the work, and none is done twice', async () => {
  const other = testWorker(stack, {
    env: { ...WORKER_ENV, WEBHOOK_PRIVATE_KEY: `${keys.older.line},${keys.newer.line}` },
  });
  await Promise.all([workWith('older', 'newer'), other.start()]);
  try {
    await expect.poll(usage, PATIENT).toEqual([older(SECRETS + 2, true), newer(0, false)]);
    const counts = () =>
      [...(worker?.lines() ?? []), ...other.lines()].flatMap((line) => /"rewrapped":(\d+)/.exec(line)?.[1] ?? []);
    await expect.poll(() => counts().reduce((sum, count) => sum + Number(count), 0), PATIENT).toBe(SECRETS + 2);
    await expectDeliveries('key.shared');
  } finally {
    await other.stop();
  }
}, 120_000);
