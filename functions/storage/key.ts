import { RowhouseError } from '../errors.ts';

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
const KEY = new RegExp(`^(t_[a-z0-9][a-z0-9_]{0,46})/files/(${UUID})$`);

/**
 * The only door for object keys: lower case, no dots, no escapes, so a key can never name anything outside its tenant.
 * @throws RowhouseError object_key_invalid
 */
export function parseObjectKey(key: string): { tenantId: string; fileId: string } {
  const [, tenantId, fileId] = KEY.exec(key) ?? [];
  if (!tenantId || !fileId) {
    throw new RowhouseError('object_key_invalid', { hint: 'A key is {tenant_id}/files/{file id}.' });
  }
  return { tenantId, fileId };
}

/**
 * The key of a file's body.
 * @throws RowhouseError object_key_invalid
 */
export function objectKey(tenantId: string, fileId: string): string {
  const key = `${tenantId}/files/${fileId}`;
  parseObjectKey(key);
  return key;
}
