import { createHash, randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parse } from 'csv-parse/sync';
import type { ValidationResult } from '../../functions/csv/validate.ts';
import type { Finding, JobContext, OutputFile, Progress } from '../../functions/job.ts';
import { runJob } from '../../functions/jobs/index.ts';
import { createLog } from '../../functions/log.ts';

export interface MemoryContext extends JobContext {
  outputs: Map<string, OutputFile & { content: Buffer }>;
  findings: Finding[];
  progress: Progress[];
  /** Outputs that were begun and given up. */
  aborted: unknown[];
}

/** Cuts a buffer into chunks of a size, to have every boundary tried. */
export function* chunksOf(content: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

/** A job context that keeps everything in memory. */
export function memoryContext(content: Buffer | Readable, overrides: Partial<JobContext> = {}): MemoryContext {
  const context: MemoryContext = {
    tenantId: 't_csv',
    jobId: randomUUID(),
    attempt: 1,
    signal: new AbortController().signal,
    log: createLog('test', 'silent'),
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00',
    dueAt: null,
    outputs: new Map(),
    findings: [],
    progress: [],
    aborted: [],
    async openFile() {
      const stream = content instanceof Readable ? content : Readable.from(chunksOf(content, 65_536));
      const size = content instanceof Readable ? 0 : content.length;
      return { name: 'people.csv', size, contentType: 'text/csv', stream };
    },
    async createFile(file, source) {
      const chunks: Buffer[] = [];
      try {
        await pipeline(source, async (stream: AsyncIterable<Buffer>) => {
          for await (const chunk of stream) chunks.push(chunk);
        });
      } catch (error) {
        context.aborted.push(error);
        throw error;
      }
      const stored = { id: randomUUID(), size: 0, sha256: '' };
      const stuff = Buffer.concat(chunks);
      context.outputs.set(stored.id, { ...file, content: stuff });
      return { ...stored, size: stuff.length, sha256: createHash('sha256').update(stuff).digest('hex') };
    },
    async recordFindings(findings) {
      context.findings.push(...findings);
    },
    async reportProgress(progress) {
      context.progress.push(progress);
    },
    async transaction() {
      throw new Error('there is no database here');
    },
    ...overrides,
  };
  return context;
}

export interface Validated {
  result: ValidationResult;
  context: MemoryContext;
  findings: Finding[];
  report: string[][];
  repaired: string[][];
}

/** Runs csv.validate as the worker does, on a file held in memory. */
export async function validate(content: Buffer | string | Readable, input: object): Promise<Validated> {
  const context = memoryContext(typeof content === 'string' ? Buffer.from(content) : content);
  const result = (await runJob('csv.validate', { file_id: randomUUID(), ...input }, context)) as ValidationResult;
  const read = (id: string | undefined): string[][] =>
    id === undefined
      ? []
      : parse(context.outputs.get(id)?.content ?? Buffer.alloc(0), {
          relax_column_count: true,
          record_delimiter: '\n',
        });
  return {
    result,
    context,
    findings: context.findings,
    report: read(result.report_file_id),
    repaired: read(result.repaired_file_id),
  };
}
