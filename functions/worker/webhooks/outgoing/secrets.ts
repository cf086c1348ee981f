import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { createMessage, decrypt, encrypt, generateKey, type PrivateKey, readMessage, readPrivateKey } from 'openpgp';
import { RowhouseError } from '../../../errors.ts';

/**
 * Secrets of endpoints are stored as OpenPGP messages that pgcrypto made for the workers' public key:
 * `extensions.pgp_pub_encrypt_bytea(secret, extensions.dearmor(public key))`. Only workers hold the private key.
 */

/** pgcrypto reads keys of version 4 alone, and encrypts to an RSA or ElGamal subkey: the curves that others use now are none. */
const RSA_BITS = 3072;
const USER = { name: 'rowhouse webhook secrets' };
/** Opening one takes some 1.5 ms of this process; an entry takes some 300 bytes. */
const KEPT = 20_000;

export interface KeyPair {
  publicKey: string;
  privateKey: string;
}

export interface SecretOpener {
  /** Of the first private key: what new secrets are to be encrypted with. Armoured. */
  publicKey: string;
  /** As pgcrypto's `pgp_key_id(bytea)` tells it of a message: of the first key's subkey, 16 hexadecimal digits. */
  keyId: string;
  /** @throws RowhouseError webhook_secret_unreadable when it was made for another key, or is damaged */
  open(ciphertext: Uint8Array): Promise<Uint8Array>;
  /** The same secret for the first key, so that an older key can be taken away; null where it is that already. */
  rewrap(ciphertext: Uint8Array): Promise<Buffer | null>;
}

/** A new pair, armoured: OpenPGP version 4, RSA 3072 with a subkey for encryption, no passphrase. Takes a fifth of a second or more. */
export async function generateKeyPair(): Promise<KeyPair> {
  const { publicKey, privateKey } = await generateKey({
    type: 'rsa',
    rsaBits: RSA_BITS,
    userIDs: [USER],
    format: 'armored',
  });
  return { publicKey, privateKey };
}

/** The private key as one line, for files that hold one variable a line. */
export async function keyLine(armored: string): Promise<string> {
  const key = await readPrivateKey({ armoredKey: armored });
  return Buffer.from(key.write()).toString('base64');
}

function unreadable(detail: string, cause?: unknown): RowhouseError {
  return new RowhouseError('config_invalid', {
    detail: `WEBHOOK_PRIVATE_KEY: ${detail}`,
    hint: 'Make one with: rowhouse webhook-key',
    ...(cause === undefined ? {} : { cause }),
  });
}

const KEY = /-----BEGIN PGP PRIVATE KEY BLOCK-----.*?-----END PGP PRIVATE KEY BLOCK-----|[^\s,]+/gs;

/** Armoured blocks and lines of base64 without armour, in the order in which they stand. */
async function readPrivateKeys(text: string): Promise<PrivateKey[]> {
  const read = (key: string) =>
    key.startsWith('-----')
      ? readPrivateKey({ armoredKey: key })
      : readPrivateKey({ binaryKey: Buffer.from(key, 'base64') });
  try {
    return await Promise.all((text.match(KEY) ?? []).map(read));
  } catch (cause) {
    throw unreadable('is no OpenPGP private key', cause);
  }
}

function messageKeyId(key: PrivateKey): string | undefined {
  return key.subkeys
    .find((subkey) => subkey.keyPacket.algorithm === 1)
    ?.getKeyID()
    .toHex();
}

/**
 * Opens secrets, and keeps what it has opened in memory, by the hash of the ciphertext.
 * @param privateKeys the text of WEBHOOK_PRIVATE_KEY: one key, or several while they are rotated; new secrets are for the first
 * @throws RowhouseError config_invalid
 */
export async function createSecretOpener(privateKeys: string): Promise<SecretOpener> {
  const keys = await readPrivateKeys(privateKeys);
  const [first] = keys;
  if (!first) throw unreadable('is empty');
  if (keys.some((key) => !key.isDecrypted())) throw unreadable('needs a passphrase, and has to be without one');
  const keyId = messageKeyId(first);
  if (!keyId) throw unreadable('has no RSA subkey for encryption');
  const current = first.toPublic();
  const opened = new LRUCache<string, Promise<Uint8Array>>({ max: KEPT });

  async function decrypted(ciphertext: Uint8Array): Promise<Uint8Array> {
    try {
      const message = await readMessage({ binaryMessage: Uint8Array.from(ciphertext) });
      const { data } = await decrypt({ message, decryptionKeys: keys, format: 'binary' });
      return data as Uint8Array;
    } catch (cause) {
      throw new RowhouseError('webhook_secret_unreadable', {
        hint: 'Give the workers the private key that it was encrypted for, or rotate the secret of the endpoint.',
        cause,
      });
    }
  }

  function open(ciphertext: Uint8Array): Promise<Uint8Array> {
    const hash = createHash('sha256').update(ciphertext).digest('base64');
    const known = opened.get(hash);
    if (known) return known;
    const opening = decrypted(ciphertext);
    opened.set(hash, opening);
    opening.catch(() => opened.delete(hash));
    return opening;
  }

  return {
    publicKey: current.armor(),
    keyId,
    open,
    async rewrap(ciphertext) {
      const message = await readMessage({ binaryMessage: Uint8Array.from(ciphertext) });
      if (message.getEncryptionKeyIDs().some((id) => id.toHex() === keyId)) return null;
      const secret = await createMessage({ binary: await open(ciphertext) });
      return Buffer.from(await encrypt({ message: secret, encryptionKeys: current, format: 'binary' }));
    },
  };
}
