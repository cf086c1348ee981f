import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readConfig, workerSchema } from '../../functions/config.ts';
import {
  createSecretOpener,
  generateKeyPair,
  type KeyPair,
  keyLine,
} from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { openSecretOpener } from '../../functions/worker/webhooks/outgoing/settings.ts';
import { type BlankDatabase, createBlankDatabase } from '../support/blank-database.ts';
import { temporaryDirectory } from '../support/temporary.ts';

let blank: BlankDatabase;
let database: pg.Client;
let older: KeyPair;
let newer: KeyPair;

beforeAll(async () => {
  [older, newer, blank] = await Promise.all([generateKeyPair(), generateKeyPair(), createBlankDatabase()]);
  database = new pg.Client({ connectionString: blank.urls.admin });
  await database.connect();
});
afterAll(async () => {
  await database?.end();
  await blank?.drop();
});

async function encrypted(secret: Buffer, publicKey: string, options = ''): Promise<Buffer> {
  const { rows } = await database.query<{ ciphertext: Buffer }>(
    'select extensions.pgp_pub_encrypt_bytea($1, extensions.dearmor($2), $3) as ciphertext',
    [secret, publicKey, options],
  );
  return rows[0]?.ciphertext as Buffer;
}

async function keyIdOf(message: Buffer): Promise<string | undefined> {
  const { rows } = await database.query<{ id: string }>('select lower(extensions.pgp_key_id($1)) as id', [message]);
  return rows[0]?.id;
}

describe('a secret that PostgreSQL encrypted', () => {
  test.each(['', 'cipher-algo=aes256', 'cipher-algo=aes256, compress-algo=2'])(
    'is opened by the worker (%s)',
    async (options) => {
      const opener = await createSecretOpener(older.privateKey);
      for (const length of [24, 32, 64, 4096]) {
        const secret = randomBytes(length);
        const ciphertext = await encrypted(secret, opener.publicKey, options);
        expect(ciphertext.includes(secret)).toBe(false);
        expect(Buffer.from(await opener.open(ciphertext))).toEqual(secret);
      }
    },
  );

  test('names the key that it was encrypted for', async () => {
    const opener = await createSecretOpener(older.privateKey);
    expect(await keyIdOf(await encrypted(randomBytes(32), older.publicKey))).toBe(opener.keyId);
  });

  test('cannot be opened with the public key that the database has, nor by another private key', async () => {
    const ciphertext = await encrypted(randomBytes(32), older.publicKey);
    await expect(
      database.query('select extensions.pgp_pub_decrypt_bytea($1, extensions.dearmor($2))', [
        ciphertext,
        older.publicKey,
      ]),
    ).rejects.toThrow(/cannot decrypt with public key/i);
    const other = await createSecretOpener(newer.privateKey);
    await expect(other.open(ciphertext)).rejects.toMatchObject({ code: 'webhook_secret_unreadable' });
  });

  test('is not opened when it was damaged, and the next one is', async () => {
    const opener = await createSecretOpener(older.privateKey);
    const secret = randomBytes(32);
    const ciphertext = await encrypted(secret, older.publicKey);
    const damaged = Buffer.from(ciphertext);
    damaged.writeUInt8(damaged.readUInt8(damaged.length - 3) ^ 1, damaged.length - 3);
    for (const wrong of [damaged, ciphertext.subarray(0, 100), Buffer.alloc(0), randomBytes(400)]) {
      await expect(opener.open(wrong)).rejects.toMatchObject({ code: 'webhook_secret_unreadable' });
    }
    expect(Buffer.from(await opener.open(ciphertext))).toEqual(secret);
  });

  test('is opened once, and kept: the same array each time', async () => {
    const opener = await createSecretOpener(older.privateKey);
    const ciphertext = await encrypted(randomBytes(32), older.publicKey);
    const [first, second] = await Promise.all([opener.open(ciphertext), opener.open(Buffer.from(ciphertext))]);
    expect(second).toBe(first);
    expect(await opener.open(ciphertext)).toBe(first);
  });
});

describe('rotation of the key', () => {
  test('opens what was encrypted for either, and gives the first for new secrets', async () => {
    const opener = await createSecretOpener(`${newer.privateKey}\n${older.privateKey}`);
    expect(opener.keyId).toBe((await createSecretOpener(newer.privateKey)).keyId);
    for (const { publicKey } of [older, newer]) {
      const secret = randomBytes(32);
      expect(Buffer.from(await opener.open(await encrypted(secret, publicKey)))).toEqual(secret);
    }
  });

  test('encrypts old secrets anew, so that the old key can be taken away', async () => {
    const both = await createSecretOpener(`${newer.privateKey}\n${older.privateKey}`);
    const secret = randomBytes(32);
    const renewed = (await both.rewrap(await encrypted(secret, older.publicKey))) as Buffer;
    expect(await keyIdOf(renewed)).toBe(both.keyId);
    expect(await both.rewrap(renewed)).toBeNull();
    const afterwards = await createSecretOpener(newer.privateKey);
    expect(Buffer.from(await afterwards.open(renewed))).toEqual(secret);
  });
});

describe('the private key', () => {
  const config = (env: Record<string, string>) =>
    readConfig(workerSchema, { WORKER_DATABASE_URL: 'postgres://nobody@localhost/none', ...env });

  test('comes from the environment, armoured or as lines, or from a file', async () => {
    const { keyId } = await createSecretOpener(newer.privateKey);
    const lines = [await keyLine(newer.privateKey), await keyLine(older.privateKey)].join(',');
    const file = path.join(temporaryDirectory(), 'webhook.asc');
    writeFileSync(file, newer.privateKey);
    for (const env of [
      { WEBHOOK_PRIVATE_KEY: newer.privateKey },
      { WEBHOOK_PRIVATE_KEY: lines },
      { WEBHOOK_PRIVATE_KEY_FILE: file, WEBHOOK_PRIVATE_KEY: '' },
    ]) {
      expect(await openSecretOpener(config(env))).toMatchObject({ keyId });
    }
    expect(await openSecretOpener(config({}))).toBeNull();
  });

  test('may come in both forms at once: the first one counts, and the others open', async () => {
    const { keyId } = await createSecretOpener(newer.privateKey);
    for (const keys of [
      `${await keyLine(newer.privateKey)},${older.privateKey}`,
      `${newer.privateKey}\n${await keyLine(older.privateKey)}`,
    ]) {
      const opener = await createSecretOpener(keys);
      expect(opener.keyId).toBe(keyId);
      const secret = randomBytes(32);
      expect(Buffer.from(await opener.open(await encrypted(secret, older.publicKey)))).toEqual(secret);
    }
  });

  test.each([
    [{ WEBHOOK_PRIVATE_KEY: 'not a key' }, /WEBHOOK_PRIVATE_KEY: is no OpenPGP private key/],
    [{ WEBHOOK_PRIVATE_KEY: ' ' }, /WEBHOOK_PRIVATE_KEY: is empty/],
    [{ WEBHOOK_PRIVATE_KEY_FILE: '/nowhere/webhook.asc' }, /WEBHOOK_PRIVATE_KEY_FILE: ENOENT/],
  ])('that cannot be used is named: %o', async (env, detail) => {
    await expect(openSecretOpener(config(env))).rejects.toMatchObject({
      code: 'config_invalid',
      detail: expect.stringMatching(detail),
    });
  });

  test('is not the public one', async () => {
    await expect(createSecretOpener(newer.publicKey)).rejects.toMatchObject({ code: 'config_invalid' });
  });
});
