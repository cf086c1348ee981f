import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClientBase, QueryResult } from 'pg';
import { RowhouseError } from '../errors.ts';
import { packageRoot } from '../paths.ts';
import { HOLES } from '../versions.ts';
import type { Finding } from './finding.ts';
import { type Lint, readLints } from './lints.ts';
import { applyWaivers, readExceptions, type Waived } from './waivers.ts';

export interface Examination {
  findings: Finding[];
  /** What functions/doctor/exceptions.json accepts. */
  waived: Waived[];
}

type Row = Pick<Finding, 'object' | 'detail' | 'remedy' | 'metadata'> & { id: string };

/** has inherit and set options of memberships, which the lints of roles read. */
const OLDEST_SERVER = 160_000;

/** One statement: one snapshot of the catalogue, and one round trip. */
function statement(lints: Lint[]): string {
  const context = readFileSync(join(packageRoot, 'functions/doctor/context.sql'), 'utf8');
  const holes = HOLES.flatMap(({ cve, fixed }) =>
    Object.entries(fixed).map(([major, minor]) => `('${cve}', ${major}, ${minor})`),
  );
  const queries = lints.map(
    ({ id, query }) => `select '${id}' as id, object, detail, remedy, metadata from (\n${query}\n) q`,
  );
  return `with recursive known_holes (cve, major, fixed) as (values ${holes.join(', ')}),\n${context}\n${queries.join('\nunion all\n')}\norder by id, object`;
}

/** Names come out qualified only if no schema is on the path; compiling a plan of this size would take longer than running it. */
const SETTINGS = { search_path: '', jit: 'off' };
const settings = (value: (name: string) => string) => `select ${Object.keys(SETTINGS).map(value).join(', ')}`;
const ENTER = settings(
  (name) =>
    `set_config('rowhouse.doctor_${name}', current_setting('${name}'), true), set_config('${name}', '${SETTINGS[name as keyof typeof SETTINGS]}', true)`,
);
const LEAVE = settings((name) => `set_config('${name}', current_setting('rowhouse.doctor_${name}'), true)`);

/**
 * Throws unless the lints can say something of this database.
 * @throws RowhouseError server_version_unsafe, schema_missing
 */
async function refuseOtherDatabases(client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ version: number; ours: boolean }>(
    `select current_setting('server_version_num')::int as version,
       to_regnamespace('request') is not null and to_regnamespace('tenancy') is not null as ours`,
  );
  const { version = 0, ours = false } = rows[0] ?? {};
  if (version < OLDEST_SERVER) {
    throw new RowhouseError('server_version_unsafe', {
      detail: `PostgreSQL ${Math.floor(version / 10_000)} is older than the lints can read.`,
      hint: 'Install the newest minor version of PostgreSQL 18.',
    });
  }
  if (!ours) {
    throw new RowhouseError('schema_missing', {
      detail: 'this database has no schemas request and tenancy',
      hint: 'Run: npx rowhouse migrate up',
    });
  }
}

/** The lints whose columns are there. */
async function answerable(client: ClientBase, lints: Lint[]): Promise<Lint[]> {
  const needed = lints.flatMap(({ needs }) => needs ?? []);
  const { rows } = await client.query<{ needs: string }>(
    `select needs from unnest($1::text[]) as needs cross join lateral parse_ident(needs) as part
     where exists (select from pg_catalog.pg_attribute where not attisdropped and attname = part[3]
       and attrelid = to_regclass(format('%I.%I', part[1], part[2])))`,
    [needed],
  );
  const there = new Set(rows.map(({ needs }) => needs));
  return lints.filter(({ needs }) => needs === undefined || there.has(needs));
}

/**
 * Runs every lint, and sets aside what functions/doctor/exceptions.json accepts. It reads the catalogue, and of what is stored the
 * directory alone, in whatever transaction the client is in, and leaves the session as it was.
 * @throws RowhouseError server_version_unsafe, schema_missing
 */
export async function examine(client: ClientBase, lints: Lint[] = readLints()): Promise<Examination> {
  await refuseOtherDatabases(client);
  const sql = [ENTER, statement(await answerable(client, lints)), LEAVE].join(';\n');
  // Three statements in one message give three results, which the driver's types do not know.
  const results = (await client.query(sql)) as unknown as QueryResult<Row>[];
  const known = new Map(lints.map((lint) => [lint.id, lint]));
  const findings = (results[1]?.rows ?? []).flatMap(({ id, ...row }) => {
    const lint = known.get(id);
    if (!lint) return [];
    const { level, title, docs, fix } = lint;
    return [{ lint: lint.lint, level, title, docs, fix, ...row }];
  });
  const { open, waived } = applyWaivers(findings, readExceptions());
  return { findings: open, waived };
}

/**
 * What is wrong with the wall of this database, as the catalogue tells. Empty: nothing that a lint knows of.
 * @throws RowhouseError server_version_unsafe, schema_missing
 */
export async function runDoctor(client: ClientBase): Promise<Finding[]> {
  return (await examine(client)).findings;
}
