import { type Client, type Pool, transaction } from '../../database.ts';
import { unforced } from '../fill/fill.ts';
import { uuid } from '../random.ts';
import type { World } from '../world.ts';
import { KEY_ID, ruleTokens } from './tokens.ts';
import type { RuleFacts } from './types.ts';

const TABLES = ['app.jobs', 'app.job_findings', 'app.files'].map((name) => ({ name, forced: true }));

/** Rows of A's in known states; they go with the tenant. Past the ledger, or the stack's worker would run the jobs. */
async function writeRows(client: Client, { A }: World['tenants'], rows: RuleFacts['rows']): Promise<void> {
  const triggers = (state: 'enable' | 'disable') =>
    client.query(
      `alter table app.jobs ${state} trigger ledger_insert; alter table app.files ${state} trigger ledger_insert`,
    );
  await unforced(client, TABLES, async () => {
    await triggers('disable');
    await client.query(
      `insert into app.jobs (tenant_id, id, type, status, attempts, created_by)
       values ($1, $2, 'csv.validate', 'queued', 0, 'prove'), ($1, $3, 'csv.validate', 'running', 1, 'prove')`,
      [A, rows.queued, rows.running],
    );
    await client.query(
      `insert into app.job_findings (tenant_id, job_id, ordinal, rule, message) values ($1, $2, 900000, 'prove', 'prove')`,
      [A, rows.queued],
    );
    await client.query(
      `insert into app.files (tenant_id, id, name, size, sha256, status, stored_at, created_by)
       values ($1, $2, 'prove', 3, $4, 'pending', null, 'prove'), ($1, $3, 'prove', 3, $4, 'stored', now(), 'prove')`,
      [A, rows.pending, rows.stored, 'a'.repeat(64)],
    );
  });
  await triggers('enable');
}

/** An API key of A's that reads. Its token is made beside the others: what it was sent as is nobody's. */
async function writeKey(client: Client, { A }: World['tenants']): Promise<void> {
  await client.query('set local role rowhouse_sealer');
  await client.query(
    `insert into auth.api_keys (tenant_id, id, name, scopes, tenant_role, created_by)
     values ($1, $2, 'prove', '{read}', 'admin', 'prove')`,
    [A, KEY_ID],
  );
}

/** Events of A's: of a type that nobody has declared, and of one that only admins see. */
async function emitEvents(client: Client, { A }: World['tenants']): Promise<void> {
  for (const type of ['prove.told', 'auth.api_keys'])
    await client.query('select ledger.append_event($1, $2, null, null)', [A, type]);
}

/** Makes what the rules lean on. Nothing is written where the reference tables are not there. */
export async function ruleFacts(pool: Pool, world: World): Promise<RuleFacts> {
  const id = (name: string) => uuid(world.seed, world.run, 'rules', name);
  const rows = { queued: id('queued'), running: id('running'), pending: id('pending'), stored: id('stored') };
  const { rows: found } = await pool.query<{ known: boolean; keys: boolean; events: boolean; protected: boolean }>(
    `select to_regclass('auth.api_keys') is not null as keys, to_regclass('ledger.events') is not null as events,
       to_regclass('app.jobs') is not null and to_regclass('app.files') is not null as known, auth.seal_is_protected() as protected`,
  );
  const nothing = { known: false, keys: false, events: false, protected: true };
  const [{ known, keys, events, protected: isProtected } = nothing] = found;
  const tokens = await ruleTokens(pool, world);
  if (known) await transaction(pool, (client) => writeRows(client, world.tenants, rows));
  if (keys) await transaction(pool, (client) => writeKey(client, world.tenants));
  if (events) await transaction(pool, (client) => emitEvents(client, world.tenants));
  return { world, tokens, protected: isProtected, rows };
}
