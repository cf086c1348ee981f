import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClientBase } from 'pg';
import { packageRoot } from '../../paths.ts';
import { knownRelations } from '../rules/columns.ts';
import { knownValues } from '../rules/values.ts';
import { bodyMutants } from './bodies.ts';
import { policyMutants } from './policies.ts';
import { AUTHORS_OWN, type Generated, type Mutant } from './types.ts';

const directory = join(packageRoot, 'functions/prove/mutate');

interface Row {
  element: string;
  how: string;
  sql: string;
  undo?: string | null;
  /** Why it weakens nothing. */
  reason?: string | null;
  /** The relation or domain of which nothing but its definition says that it must be so. */
  author?: string | null;
}

const known: ReadonlySet<string> = knownRelations.union(knownValues);

/** Of the cluster: the other worker's database has them as well, so they are never committed. */
const OF_THE_CLUSTER = new Set(['role']);

/** A class of mutants that the catalogue alone can list: one query each. */
async function listed(client: ClientBase, file: string): Promise<Generated> {
  const source = readFileSync(join(directory, 'classes', file), 'utf8');
  const [, name = ''] = /^-- class: (.+)\n/.exec(source) ?? [];
  const context = readFileSync(join(directory, 'context.sql'), 'utf8');
  const body = source.slice(source.indexOf('\n') + 1).replace(/^\s*(?:--.*\n\s*)*with /, ', ');
  const { rows } = await client.query<Row>(`${context}\n${body}`);
  const mutants: Mutant[] = [];
  const excluded: Generated['excluded'] = [];
  for (const { element, how, sql, undo, author, ...row } of rows) {
    const reason = author && !known.has(author) ? AUTHORS_OWN : row.reason;
    if (reason) excluded.push({ class: name, element, how, reason });
    else mutants.push({ class: name, element, how, sql, undo: undo ?? null, cluster: OF_THE_CLUSTER.has(name) });
  }
  return { mutants, excluded };
}

/** Every weakening of every wall element, from the catalogue of this database. */
export async function generateMutants(client: ClientBase): Promise<Generated> {
  await client.query('begin');
  try {
    await client.query(`set local search_path = ''; set local jit = off`);
    const files = readdirSync(join(directory, 'classes'))
      .filter((file) => file.endsWith('.sql'))
      .sort();
    const made: Generated[] = [];
    for (const file of files) made.push(await listed(client, file));
    made.push(await policyMutants(client), await bodyMutants(client));
    return { mutants: made.flatMap(({ mutants }) => mutants), excluded: made.flatMap(({ excluded }) => excluded) };
  } finally {
    await client.query('rollback');
  }
}
