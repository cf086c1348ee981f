import { addAbortSignal, Readable } from 'node:stream';
import { RowhouseError } from '../errors.ts';
import type { JobContext } from '../job.ts';
import type { Logger } from '../log.ts';
import type { StorageDriver } from '../storage/driver.ts';
import { objectKey } from '../storage/key.ts';
import type { Lease } from './lease.ts';
import type { JobMessage } from './messages.ts';

export interface ContextOptions {
  message: JobMessage;
  lease: Lease;
  storage: Pick<StorageDriver, 'open' | 'write'>;
  signal: AbortSignal;
  traceparent: string;
  log: Logger;
}

/** As the database has it: jobs_progress_bounded. */
const PROGRESS_BYTES = 8192;

/** What a job can do: everything runs in its tenant's walls, and stops working when its lease is over. */
export function createContext({ message, lease, storage, signal, traceparent, log }: ContextOptions): JobContext {
  const { tenant_id: tenantId, job_id: jobId } = message;
  const { attempt } = lease;
  const call = (sql: string, ...values: unknown[]) => {
    signal.throwIfAborted();
    return lease.transaction((client) => client.query(sql, [jobId, attempt, ...values]));
  };

  /** Fails at the end of the source when the lease is over: storage then keeps what was under the key. */
  async function* whileLeased(source: Readable): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      signal.throwIfAborted();
      yield chunk;
    }
    await call('select app.require_lease($1, $2)');
  }

  return {
    tenantId,
    jobId,
    attempt,
    signal,
    traceparent,
    dueAt: lease.dueAt,
    log,

    async openFile(fileId) {
      signal.throwIfAborted();
      const { rows } = await lease.transaction((client) =>
        client.query<{ name: string; size: string; content_type: string; status: string }>(
          'select name, size, content_type, status from app.files where id = $1',
          [fileId],
        ),
      );
      const [file] = rows;
      if (!file) throw new RowhouseError('file_not_found', { detail: `No file ${fileId}` });
      if (file.status !== 'stored')
        throw new RowhouseError('file_pending', { detail: `File ${fileId} has no bytes yet` });
      const stream = addAbortSignal(signal, await storage.open(objectKey(tenantId, fileId)));
      return { name: file.name, size: Number(file.size), contentType: file.content_type, stream };
    },

    async createFile({ kind, name, contentType }, source) {
      const created = await call('select app.create_output_file($1, $2, $3, $4, $5) as id', kind, name, contentType);
      const id = String(created.rows[0].id);
      const { size, sha256 } = await storage.write(objectKey(tenantId, id), Readable.from(whileLeased(source)));
      await lease.transaction((client) => client.query('select app.mark_file_stored($1, $2, $3)', [id, size, sha256]));
      return { id, size, sha256 };
    },

    async recordFindings(findings) {
      if (findings.length === 0) return;
      await call('select app.record_findings($1, $2, $3)', JSON.stringify(findings));
    },

    async reportProgress(progress) {
      signal.throwIfAborted();
      if (Buffer.byteLength(JSON.stringify(progress)) > PROGRESS_BYTES / 2) {
        throw new TypeError(`progress is a few figures, less than ${PROGRESS_BYTES / 2} bytes`);
      }
      lease.report(progress);
    },

    async transaction(work) {
      signal.throwIfAborted();
      return lease.transaction(async (client) => {
        await client.query('select app.require_lease($1, $2)', [jobId, attempt]);
        return work(client);
      });
    },
  };
}
