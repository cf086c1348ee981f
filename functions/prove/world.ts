import { type Client, transaction } from '../database.ts';
import { RowhouseError } from '../errors.ts';
import type { Catalogue, Relation, Table } from './catalogue.ts';
import { emptyTenants, fillTenant, type Rows, unforced } from './fill/fill.ts';
import { fillOrder } from './fill/order.ts';
import { word } from './random.ts';
import { registerSender, removeSender } from './sender.ts';
import type { OpenTarget } from './target.ts';
import { type Finding, TENANT_ROLES } from './types.ts';

/** A attacks, B is attacked, C is what operators and outsiders may be shown. */
export const LETTERS = ['A', 'B', 'C'] as const;
export type Letter = (typeof LETTERS)[number];

export interface World {
  seed: number;
  /** What every throw-away tenant's id starts with. */
  run: string;
  tenants: Record<Letter, string>;
  rows: Record<Letter, Rows>;
  tables: Table[];
  /** Where B's rows of a table are. */
  partitions: Map<string, string>;
  tokens: Map<string, string>;
  subject(letter: Letter, role: string): string;
}

/** A fourth tenant, with members and no rows: its tokens are good, and it is not let in. */
export const suspendedTenant = ({ run }: World): string => `${run}_suspended`;
export const suspendedMember = (world: World, role: string): string => `${suspendedTenant(world)}_${role}`;

const PREFIX = 't_prove_';
const EPOCH = '2020-02-02T02:02:02.020202Z';

/** One prover at a time in a database: it also removes what a killed one left. */
export async function takeDatabase(client: Client): Promise<void> {
  const { rows } = await client.query<{ taken: boolean }>(
    `select pg_try_advisory_lock(hashtextextended('rowhouse prove', 0)) as taken`,
  );
  if (!rows[0]?.taken) {
    throw new RowhouseError('conflict', {
      detail: 'Another prover works in this database.',
      hint: 'Wait for it, or prove another copy.',
    });
  }
}

/** Far above what the prover can ask for: a refusal by rate would hide what the wall says. Quotas are those of the largest plan. */
async function liftLimits(client: Client, ids: readonly string[]): Promise<void> {
  const { rows } = await client.query<{ limited: boolean }>(
    `select to_regclass('tenancy.tenant_settings') is not null as limited`,
  );
  if (!rows[0]?.limited) return;
  await client.query(
    `insert into tenancy.tenant_settings (tenant_id, read_rate, read_burst, write_rate, write_burst, expensive_rate, expensive_burst,
       request_concurrency, queue_length, queue_wait, updated_at)
     select id, 100000, 100000, 100000, 100000, 100000, 100000, 16, 1000, '20 s', $2 from unnest($1::text[]) as id`,
    [ids, EPOCH],
  );
}

/** Tenants with a member of each role, and the tokens of all of them. */
async function createTenants(client: Client, world: World): Promise<void> {
  const { run, tenants, tokens, subject } = world;
  const names: string[] = [];
  const issued: string[] = [];
  const values: (string | null)[] = [];
  const issue = (name: string, ...claims: (string | null)[]) => {
    names.push(name);
    issued.push(
      `auth.issue_token($${values.push(claims[0] as null)}, $${values.push(claims[1] as string)}, $${values.push(claims[2] as null)}, '2 hours', $${values.push(claims[3] as string)})`,
    );
  };
  for (const letter of LETTERS) {
    const id = tenants[letter];
    const slug = id.replaceAll('_', '-');
    await client.query(
      `insert into tenancy.tenants (id, slug, name, tier, created_at, updated_at)
       select $1, $2, $3, (select tier from tenancy.plans order by job_concurrency desc, tier limit 1), $4, $4`,
      [id, slug, `Prove ${letter} ${word(14, run, letter, 'name')}`, EPOCH],
    );
    for (const role of TENANT_ROLES) {
      await client.query(
        `insert into tenancy.members (tenant_id, user_id, role, created_at, updated_at) values ($1, $2, $3, $4, $4)`,
        [id, subject(letter, role), role, EPOCH],
      );
      issue(`${letter}_${role}`, id, subject(letter, role), role, 'tenant_user');
    }
  }
  const suspended = suspendedTenant(world);
  await client.query(
    `insert into tenancy.tenants (id, slug, name, status, created_at, updated_at) values ($1, $2, 'Prove suspended', 'suspended', $3, $3)`,
    [suspended, suspended.replaceAll('_', '-'), EPOCH],
  );
  for (const role of TENANT_ROLES) {
    await client.query(
      `insert into tenancy.members (tenant_id, user_id, role, created_at, updated_at) values ($1, $2, $3, $4, $4)`,
      [suspended, suspendedMember(world, role), role, EPOCH],
    );
  }
  await liftLimits(client, [...Object.values(tenants), suspended]);
  // A viewer by now, with a token from better days.
  const downgraded = subject('A', 'downgraded');
  await client.query(
    `insert into tenancy.members (tenant_id, user_id, role, created_at, updated_at) values ($1, $2, 'viewer', $3, $3)`,
    [tenants.A, downgraded, EPOCH],
  );
  issue('A_downgraded', tenants.A, downgraded, 'owner', 'tenant_user');
  await client.query('insert into auth.operators (subject) values ($1)', [`${run}_operator`]);
  issue('operator', null, `${run}_operator`, null, 'operator');
  const { rows } = await client.query<{ tokens: string[] }>(`select array[${issued.join(', ')}] as tokens`, values);
  for (const [nth, name] of names.entries()) tokens.set(name, rows[0]?.tokens[nth] as string);
}

/** Fills the three tenants; each in a transaction sealed for it, so that triggers and defaults see their tenant. */
export async function createWorld(
  { pool }: OpenTarget,
  catalogue: Catalogue,
  relations: readonly Relation[],
  { seed, count }: { seed: number; count: number },
): Promise<{ world: World; findings: Finding[] }> {
  const run = `${PREFIX}${word(6, seed)}`;
  const tenants = Object.fromEntries(
    LETTERS.map((letter) => [letter, `${run}_${letter.toLowerCase()}`]),
  ) as World['tenants'];
  const world: World = {
    seed,
    run,
    tenants,
    rows: { A: new Map(), B: new Map(), C: new Map() },
    tables: fillOrder(catalogue, relations),
    partitions: new Map(),
    tokens: new Map(),
    subject: (letter, role) => `${run}_${letter.toLowerCase()}_${role}`,
  };
  await transaction(pool, async (client) => {
    await createTenants(client, world);
    await registerSender(client);
  });
  const findings: Finding[] = [];
  for (const letter of LETTERS) {
    await transaction(pool, async (client) => {
      await client.query('select auth.enter($1)', [world.tokens.get(`${letter}_owner`)]);
      const filled = await fillTenant(client, catalogue, relations, {
        tenant: tenants[letter],
        letter,
        seed,
        count: letter === 'A' ? count : 2,
      });
      world.rows[letter] = filled.rows;
      if (letter !== 'B') return;
      findings.push(...filled.findings);
      world.partitions = filled.partitions;
    });
  }
  return { world, findings };
}

const LEDGER = { name: 'ledger.entries', forced: true };

/**
 * What the ledger says of throw-away tenants. Under the same seed there are tenants of the same name again, whose events would tell them
 * what was tried before. Nobody may delete there: the owner gives itself the right for this transaction.
 */
async function forgetEntries(client: Client, ids: readonly string[]): Promise<void> {
  await client.query(`grant delete on ${LEDGER.name} to current_user`);
  await client.query(`delete from ${LEDGER.name} where tenant_id = any ($1)`, [ids]);
  await client.query(`revoke delete on ${LEDGER.name} from current_user`);
}

/** Removes all throw-away tenants and everything of theirs. */
export async function removeTenants({ pool }: OpenTarget, tables: readonly Table[]): Promise<void> {
  await transaction(pool, async (client) => {
    const { rows } = await client.query<{ id: string }>(`select id from tenancy.tenants where starts_with(id, $1)`, [
      PREFIX,
    ]);
    const ids = rows.map(({ id }) => id);
    const { rows: known } = await client.query<{ ledger: boolean }>(
      `select to_regclass('${LEDGER.name}') is not null as ledger`,
    );
    const hasLedger = known[0]?.ledger ?? false;
    if (ids.length > 0) {
      const others = tables.filter(({ name }) => name !== LEDGER.name);
      await unforced(client, hasLedger ? [...others, LEDGER] : others, async () => {
        await emptyTenants(client, others, ids);
        await client.query('delete from tenancy.tenants where id = any ($1)', [ids]);
        if (hasLedger) await forgetEntries(client, ids);
      });
    }
    // Ids are given once; those of throw-away tenants are given again with the same seed.
    const { rows: kept } = await client.query<{ kept: boolean }>(
      `select to_regclass('tenancy.retired_ids') is not null as kept`,
    );
    if (kept[0]?.kept) await client.query('delete from tenancy.retired_ids where starts_with(id, $1)', [PREFIX]);
    await client.query('delete from auth.operators where starts_with(subject, $1)', [PREFIX]);
    await removeSender(client);
  });
}
