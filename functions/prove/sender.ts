import type { Client } from '../database.ts';
import { createSecretOpener, generateKeyPair } from '../worker/webhooks/outgoing/secrets.ts';

const present = async (client: Client): Promise<boolean> => {
  const { rows } = await client.query(`select where to_regclass('webhook.senders') is not null`);
  return rows.length > 0;
};

/** Says for which key secrets of webhook endpoints are encrypted, where no worker has. Any that one registers later is newer. */
export async function registerSender(client: Client): Promise<void> {
  if (!(await present(client))) return;
  const { rows } = await client.query('select from webhook.senders limit 1');
  if (rows.length > 0) return;
  const { keyId, publicKey } = await createSecretOpener((await generateKeyPair()).privateKey);
  await client.query(
    `insert into webhook.senders (key_id, public_key, allow_http, registered_at) values ($1, $2, false, '-infinity')`,
    [keyId, publicKey],
  );
}

/** Takes back what registerSender() said. */
export async function removeSender(client: Client): Promise<void> {
  if (await present(client)) await client.query(`delete from webhook.senders where registered_at = '-infinity'`);
}
