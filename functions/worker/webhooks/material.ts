import type { SecretOpener } from './outgoing/secrets.ts';
import type { SigningSecret } from './outgoing/signature.ts';
import type { Described } from './store.ts';

/** What an endpoint's requests are made with, opened: it is in the worker's memory alone. */
export interface Material {
  headers: Record<string, string>;
  /** The newest first. */
  secrets: { secret: SigningSecret; expiresAt: number }[];
}

const SCHEMES = { hmac: 'v1', ed25519: 'v1a' } as const;

/** @throws RowhouseError webhook_secret_unreadable */
export async function openMaterial(opener: SecretOpener, { secrets, signing }: Described): Promise<Material> {
  const material: Material = { headers: {}, secrets: [] };
  for (const { kind, header, ciphertext, expiresAt } of secrets) {
    const key = await opener.open(Buffer.from(ciphertext, 'base64'));
    if (kind === 'header') material.headers[header ?? ''] = Buffer.from(key).toString('utf8');
    else if (signing.includes(SCHEMES[kind])) {
      material.secrets.push({
        secret: { kind, key },
        expiresAt: expiresAt ?? Number.POSITIVE_INFINITY,
      });
    }
  }
  return material;
}

export function liveSecrets({ secrets }: Material, now: number): SigningSecret[] {
  return secrets.filter(({ expiresAt }) => expiresAt > now).map(({ secret }) => secret);
}
