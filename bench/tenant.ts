import { createPool, type Pool } from '../functions/database.ts';
import type { StackInfo } from '../functions/stack/supervisor.ts';

export interface BenchTenant {
  pool: Pool;
  call<T>(method: string, path: string, body?: unknown): Promise<{ body: T; answeredAt: number }>;
  /** Announces a file, sends its bytes to the signed URL, returns its id. */
  upload(name: string, size: number, body: string | Blob): Promise<string>;
  close(): Promise<void>;
}

/** A tenant on a running stack, and its owner's requests through the edge. */
export async function openBenchTenant({ edge, database }: StackInfo, id: string): Promise<BenchTenant> {
  const pool = createPool(database.migrator, 'bench', 2);
  await pool.query(`select tenancy.create_tenant($1, $2, 'Bench', 'bench')`, [id, id.replaceAll('_', '-')]);
  const { rows } = await pool.query<{ token: string }>(`select auth.issue_token($1, 'bench', 'owner') as token`, [id]);
  const headers = {
    authorization: `Bearer ${rows[0]?.token}`,
    'content-type': 'application/json',
    prefer: 'return=representation',
  };

  async function call<T>(method: string, path: string, body?: unknown): Promise<{ body: T; answeredAt: number }> {
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    const response = await fetch(`${edge}${path}`, { method, headers, ...init });
    const answeredAt = performance.timeOrigin + performance.now();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${await response.text()}`);
    return { body: (await response.json()) as T, answeredAt };
  }

  return {
    pool,
    call,
    async upload(name, size, body) {
      const announcement = { name, content_type: 'text/csv', size };
      const { body: announced } = await call<{
        file: { id: string };
        upload: { url: string; headers: Record<string, string> };
      }>('POST', '/storage/v1/uploads', announcement);
      const { file, upload } = announced;
      const put = await fetch(upload.url, { method: 'PUT', headers: upload.headers, body });
      if (!put.ok) throw new Error(`the upload answered ${put.status}: ${await put.text()}`);
      return file.id;
    },
    close: () => pool.end(),
  };
}
