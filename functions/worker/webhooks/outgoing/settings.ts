import { readFile } from 'node:fs/promises';
import type { WebhookConfig } from '../../../config.ts';
import { RowhouseError } from '../../../errors.ts';
import type { SecretOpener } from './secrets.ts';
import { createSender, type Sender } from './send.ts';

/**
 * The sender that the environment asks for.
 * @throws RowhouseError config_invalid
 */
export function openSender(config: WebhookConfig): Sender {
  const ports = config.WEBHOOK_REFUSED_PORTS;
  const proxy = config.WEBHOOK_PROXY_URL && {
    url: config.WEBHOOK_PROXY_URL,
    resolve: config.WEBHOOK_PROXY_RESOLVES ? ('proxy' as const) : ('here' as const),
  };
  try {
    return createSender({
      allowHttp: config.WEBHOOK_ALLOW_HTTP,
      allowedNetworks: config.WEBHOOK_ALLOWED_NETWORKS,
      timeouts: { total: config.WEBHOOK_TIMEOUT_MS },
      ...(ports.length > 0 && { refusedPorts: ports }),
      ...(proxy && { proxy }),
    });
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new RowhouseError('config_invalid', { detail: `WEBHOOK_ALLOWED_NETWORKS: ${cause.message}`, cause });
  }
}

/**
 * The opener for the private keys that the environment names, or null where it names none.
 * @throws RowhouseError config_invalid
 */
export async function openSecretOpener(config: WebhookConfig): Promise<SecretOpener | null> {
  const { WEBHOOK_PRIVATE_KEY: keys, WEBHOOK_PRIVATE_KEY_FILE: file } = config;
  if (!keys && !file) return null;
  // 10 MB that a worker without webhooks does not need.
  const { createSecretOpener } = await import('./secrets.ts');
  return await createSecretOpener(keys ?? (await readKeyFile(file as string)));
}

async function readKeyFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new RowhouseError('config_invalid', {
      detail: `WEBHOOK_PRIVATE_KEY_FILE: ${(cause as Error).message}`,
      cause,
    });
  }
}
