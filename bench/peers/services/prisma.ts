import { createHash } from 'node:crypto';
import { PrismaPg } from '@prisma/adapter-pg';
import { PrismaClient } from '@prisma/client';
import { POOL } from './fork.ts';
import { type Store, serve } from './serve.ts';
import type { Caller } from './tokens.ts';

// fastify and Prisma. node prisma.ts <ordinary|tuned> <database URL> <JWKS>

const [mode = '', connectionString = '', keys = ''] = process.argv.slice(2);

/** Prisma prepares nothing unless it is given names. */
const names = new Map<string, string>();
function statementNameGenerator({ sql }: { sql: string }): string {
  const known = names.get(sql);
  if (known !== undefined) return known;
  const name = createHash('sha1').update(sql).digest('hex');
  names.set(sql, name);
  return name;
}

const adapter = new PrismaPg({ connectionString, ...POOL }, mode === 'tuned' ? { statementNameGenerator } : {});
const client = new PrismaClient({ adapter });

/**
 * Row-level security as Prisma's own example has it: an extension that runs each operation in a transaction whose first statement
 * sets the context. https://github.com/prisma/prisma-client-extensions/tree/main/row-level-security
 */
function as({ claims }: Caller) {
  const said = JSON.stringify(claims);
  return client.$extends({
    query: {
      $allModels: {
        async $allOperations({ args, query }) {
          const [, result] = await client.$transaction([
            client.$executeRaw`select set_config('role', 'peer_user', true), set_config('request.jwt.claims', ${said}, true)`,
            query(args),
          ]);
          return result;
        },
      },
    },
  });
}

const FILE = { id: true, name: true, size: true, status: true, created_at: true };
const NEWEST = { orderBy: [{ created_at: 'desc' }, { id: 'desc' }], take: 20 };

interface File {
  size: bigint;
}
/** JSON has no bigint. */
const writable = (file: File) => ({ ...file, size: Number(file.size) });

const store: Store = {
  async newestFiles(caller) {
    const files = (await as(caller).files.findMany({ select: FILE, ...NEWEST })) as File[];
    return files.map(writable);
  },
  async file(caller, id) {
    // The policy knows the tenant; findUnique would ask for both columns of the key.
    const file = (await as(caller).files.findFirst({ select: FILE, where: { id } })) as File;
    return writable(file);
  },
  async jobs(caller, status) {
    const own = as(caller);
    const findings = {
      select: { ordinal: true, rule: true, severity: true, message: true },
      orderBy: { ordinal: 'asc' },
    };
    const select = { id: true, type: true, status: true, created_at: true, job_findings: findings };
    const [rows, count] = await Promise.all([
      own.jobs.findMany({ select, where: { status }, ...NEWEST }),
      own.jobs.count({ where: { status } }),
    ]);
    return { rows, count: count as number };
  },
  addFile: (caller, { name, content_type, size }) =>
    as(caller).files.create({ data: { name, content_type, size }, select: { id: true } }),
};

await serve(store, keys);
