import { uuid } from '../random.ts';
import type { Acting, Rule } from './types.ts';

const LIST = 'ledger.dead_letters(text,text,uuid[],integer)';
const REDRIVE = 'ledger.redrive_jobs(text,text,uuid[],integer,boolean)';
const ADMIN = 'admin.redrive_jobs(uuid[],text,text,boolean,integer,boolean)';
const NOBODYS = '00000000-0000-4000-8000-000000000000';

const rule = (
  about: string,
  title: string,
  check: Rule['check'],
  login: Rule['login'] = 'rowhouse_migrator',
): Rule => ({
  about,
  family: 'state',
  title,
  login,
  check,
});

/** Jobs: A's that has died, one of B's that has and one that has the same id, A's that failed for another reason, and A's that waits. */
async function makeDead({ facts, ok, unforced }: Acting) {
  const { seed, run, tenants } = facts.world;
  const id = (name: string) => uuid(seed, run, 'dead letters', name);
  const made = { mine: id('mine'), theirs: id('theirs'), failed: id('failed'), waiting: id('waiting') };
  const add = (tenant: string, of: string, code: string, status = 'failed') =>
    ok(
      `insert into app.jobs (tenant_id, id, type, status, attempts, error, finished_at, created_by)
       values ($1, $2, 'csv.validate', $4, 3, jsonb_build_object('code', $3::text, 'cause', 'internal'),
         case when $4 = 'failed' then now() end, 'prove')`,
      [tenant, of, code, status],
    );
  await unforced('app.jobs', async () => {
    await add(tenants.A, made.mine, 'job_attempts_exhausted');
    await add(tenants.B, made.theirs, 'job_attempts_exhausted');
    await add(tenants.B, made.mine, 'job_attempts_exhausted');
    await add(tenants.A, made.failed, 'file_empty');
    await add(tenants.A, made.waiting, 'job_attempts_exhausted', 'queued');
  });
  const names = new Map(Object.entries(made).map(([name, of]) => [of, name]));
  const of = ({ tenant_id, id }: { tenant_id: string; id: string }) =>
    `${tenant_id === tenants.A ? 'A' : 'B'} ${names.get(id)}`;
  return {
    ...made,
    /** Those of these jobs that a function answers with, by tenant and name: the database may be in use. */
    async found(call: string): Promise<string[]> {
      const rows = await ok<{ tenant_id: string; id: string }>(
        `select tenant_id, job_id as id from ${call} where job_id = any ($1)`,
        [Object.values(made)],
      );
      return rows.map(of).toSorted();
    },
    /** Those that would start. */
    async queued(): Promise<string[]> {
      await ok('set local role rowhouse_dispatcher');
      const rows = await ok<{ tenant_id: string; id: string }>(
        `select tenant_id, id from app.jobs where id = any ($1) and status = 'queued'`,
        [Object.values(made)],
      );
      await ok('set local role rowhouse_owner');
      return rows.map(of).toSorted();
    },
  };
}

const DEAD = ['A mine', 'B mine', 'B theirs'];

/** Who sees what has died, and queues it again. */
export const deadLetterRules: Rule[] = [
  rule(LIST, 'a dead letter is a job whose attempts are used up, until it is queued again', async (acting) => {
    const { found, mine } = await makeDead(acting);
    const { A } = acting.facts.world.tenants;
    acting.same(await found('ledger.dead_letters()'), DEAD, 'what has died');
    acting.same(await found(`ledger.dead_letters('prove.none')`), [], 'what of no type has');
    acting.same(await found(`ledger.dead_letters('csv.validate', '${A}')`), ['A mine'], "what of A's has");
    await acting.enter('operator');
    await acting.ok('select ledger.redrive_jobs(of_tenant => $1, ids => $2)', [A, [mine]]);
    acting.same(await found('ledger.dead_letters()'), ['B mine', 'B theirs'], 'what is left');
  }),
  rule(REDRIVE, 'an operator queues what has died again, of whichever tenant, and nothing else', async (acting) => {
    const { found, queued, mine, theirs, failed, waiting } = await makeDead(acting);
    await acting.enter('operator');
    const { A, B } = acting.facts.world.tenants;
    const redrive = (more: string) => found(`ledger.redrive_jobs(${more})`);
    const ids = `ids => '{${mine},${theirs},${failed},${waiting}}'`;
    acting.same(await redrive(`${ids}, of_type => 'prove.none'`), [], 'what of no type is');
    acting.same(await redrive(`ids => '{${NOBODYS}}', dry_run => true`), [], 'what would be of nothing');
    acting.same(await redrive(`${ids}, dry_run => true`), DEAD, 'what would be');
    acting.same(await queued(), ['A waiting'], 'what waits');
    acting.same(await redrive(`of_tenant => '${A}'`), ['A mine'], "what of A's is");
    acting.same(await queued(), ['A mine', 'A waiting'], 'what waits after that');
    acting.same(await redrive(`of_tenant => '${B}', ids => '{${theirs}}'`), ['B theirs'], 'what is named');
    acting.same(await redrive(ids), ['B mine'], 'what is left');
  }),
  rule(REDRIVE, 'it is tried as often again as jobs of its type are', async (acting) => {
    const { mine } = await makeDead(acting);
    const { ok } = acting;
    await ok(`insert into tenancy.job_types (type, description, max_attempts) values ('prove.other', '', 7)`);
    await acting.enter('A_owner');
    await ok('select ledger.redrive_jobs(ids => $1)', [[mine]]);
    const more = `select max_attempts - attempts = (select max_attempts from tenancy.job_types where type = 'csv.validate') as as_its_type
      from app.jobs where id = $1`;
    acting.same(await ok(more, [mine]), [{ as_its_type: true }], 'how often');
  }),
  rule(REDRIVE, "inside a tenant's walls there is that tenant's alone", async (acting) => {
    const { found } = await makeDead(acting);
    await acting.enter('A_owner');
    acting.same(await found('ledger.dead_letters()'), ['A mine'], 'what has died');
    acting.same(await found('ledger.redrive_jobs()'), ['A mine'], 'what is redriven');
  }),
  rule(REDRIVE, 'what a suspended tenant has stays', async (acting) => {
    const { found, mine, theirs } = await makeDead(acting);
    await acting.ok('select tenancy.suspend_tenant($1)', [acting.facts.world.tenants.B]);
    await acting.enter('operator');
    acting.same(await found(`ledger.redrive_jobs(ids => '{${mine},${theirs}}')`), ['A mine'], 'what is redriven');
  }),
  rule(
    REDRIVE,
    'without a token nobody queues anything again',
    ({ refused }) => refused('tenant_required', 'select ledger.redrive_jobs(dry_run => true)'),
    'rowhouse_worker',
  ),
  rule(
    LIST,
    'a worker looks which jobs have died, and whose',
    async ({ ok }) => void (await ok('select ledger.dead_letters()')),
    'rowhouse_worker',
  ),
  rule(ADMIN, 'an operator says which dead letters, and each of them is one', async (acting) => {
    const { mine, theirs } = await makeDead(acting);
    const { ok, refused } = acting;
    await acting.enter('operator');
    await ok('select admin.redrive_jobs($1, dry_run => true)', [[mine, theirs]]);
    await ok(`select admin.redrive_jobs(job_type => 'prove.none')`);
    await ok('select admin.redrive_jobs(every => true, dry_run => true)');
    await refused('request_invalid: nothing says which dead letters', 'select admin.redrive_jobs()');
    await refused('request_invalid: nothing says which dead letters', 'select admin.redrive_jobs(every => null)');
    const every = 'request_invalid: every is each dead letter there is';
    await refused(every, `select admin.redrive_jobs(every => true, job_type => 'prove.none')`);
    const none = `job_not_found: no dead letter of ${NOBODYS}; nothing was redriven`;
    await refused(none, 'select admin.redrive_jobs($1)', [[mine, NOBODYS]]);
  }),
];
