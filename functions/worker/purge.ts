import type { StorageDriver } from '../storage/driver.ts';
import { objectKey } from '../storage/key.ts';
import { DONE, type Handler, type PurgeMessage } from './messages.ts';

/** Removes the bytes of a file whose row is gone. Repeating it is harmless: what is not there counts as removed. */
export function createPurge(storage: Pick<StorageDriver, 'remove'>): Handler<PurgeMessage> {
  return async ({ message }) => {
    await storage.remove(objectKey(message.tenant_id, message.file_id));
    return DONE;
  };
}
