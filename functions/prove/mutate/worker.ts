import pg from 'pg';
import { createPool, type Pool, transaction } from '../../database.ts';
import type { Lint } from '../../doctor/lints.ts';
import { examine } from '../../doctor/run.ts';
import { RowhouseError } from '../../errors.ts';
import { API_SCHEMAS } from '../../stack/postgrest.ts';
import type { DatabaseUrls } from '../../stack/secrets.ts';
import { readCatalogue } from '../catalogue.ts';
import { fillOrder } from '../fill/order.ts';
import { ruleFacts } from '../rules/facts.ts';
import { rulesHere } from '../rules/plan.ts';
import type { RuleFacts } from '../rules/types.ts';
import type { OpenTarget } from '../target.ts';
import { createWorld, removeTenants } from '../world.ts';
import { type InTransaction, ruleJudge } from './rule-judge.ts';
import { BODIES, type Death, type Mutant } from './types.ts';

/** A copy in which mutants are judged inside transactions that are rolled back. */
export interface MutantWorker {
  urls: DatabaseUrls;
  /** By the doctor's lints, then by prove's rules. */
  judge(mutant: Mutant): Promise<Death>;
  /** By the rules once more, on a server that lets nobody protect the seal's variable. */
  judgeUnprotected(mutant: Mutant): Promise<Death>;
  close(): Promise<void>;
}

export interface WorkerOptions {
  lints: Lint[];
  /** Titles of rules that are left out. */
  withoutRules: ReadonlySet<string>;
  seed: number;
}

const UNPROTECTED = 'revoke set on parameter backtrace_functions from rowhouse_sealer';
const LIMITS = `set local lock_timeout = '20s'; set local statement_timeout = '60s'`;

/** Tenants, tokens and rows that the rules lean on. */
async function factsOf(pool: Pool, seed: number): Promise<RuleFacts> {
  const catalogue = await transaction(pool, (client) => readCatalogue(client, [...API_SCHEMAS]));
  // What a prover that was killed has left in the database that was copied.
  await removeTenants({ pool } as OpenTarget, fillOrder(catalogue, catalogue.relations));
  const { world } = await createWorld({ pool } as OpenTarget, catalogue, catalogue.relations, { seed, count: 2 });
  return ruleFacts(pool, world);
}

const keyOf = ({ lint, object }: { lint: string; object: string }) => `${lint} ${object}`;

/**
 * Makes a copy ready: its doctor's findings and its rules as they are now are what mutants are held against.
 * @throws RowhouseError internal where a rule does not hold in the copy as it is, or is about what it does not have
 */
export async function openWorker(
  urls: DatabaseUrls,
  { lints, withoutRules, seed }: WorkerOptions,
): Promise<MutantWorker> {
  const pool = createPool(urls.migrator, 'rowhouse-mutate', 2);
  const facts = await factsOf(pool, seed);
  const { here, absent } = await rulesHere(pool);
  const rules = here.filter(({ title, commits }) => !commits && !withoutRules.has(title));
  await pool.end();
  if (absent.length > 0) {
    const detail = `The copy has nothing that is called ${absent.join(' or ')}, which rules are about.`;
    throw new RowhouseError('internal', { detail, hint: 'Run: rowhouse prove' });
  }
  const client = new pg.Client({ connectionString: urls.admin, application_name: 'rowhouse-mutate' });
  client.on('error', () => {});
  await client.connect();

  const inTransaction: InTransaction = async (sql, work, isolation = 'read committed') => {
    await client.query(`begin isolation level ${isolation}`);
    try {
      await client.query(LIMITS);
      if (sql !== '') await client.query(sql);
      return await work();
    } finally {
      await client.query('rollback');
    }
  };

  async function findings() {
    await client.query('savepoint doctor; set local role rowhouse_owner');
    const found = await examine(client, lints);
    await client.query('rollback to savepoint doctor');
    // What `rowhouse doctor` fails for.
    return found.findings.filter(({ level }) => level !== 'info');
  }

  const byRules = ruleJudge(client, rules, inTransaction);
  const before = new Set((await inTransaction('', findings)).map(keyOf));

  async function byDoctor(): Promise<Death> {
    try {
      const found = (await findings()).find((finding) => !before.has(keyOf(finding)));
      return found && { by: 'doctor', what: keyOf(found) };
    } catch (error) {
      await client.query('rollback to savepoint doctor');
      return { by: 'doctor', what: `it cannot run: ${(error as Error).message}` };
    }
  }

  const unprotected: RuleFacts = { ...facts, protected: false };
  const nothing: Mutant = { class: '', element: '', how: '', sql: '', undo: null, cluster: false };
  const death = (await byRules(nothing, '', facts)) ?? (await byRules(nothing, `${UNPROTECTED};`, unprotected));
  if (death) {
    await client.end();
    throw new RowhouseError('internal', {
      detail: `The copy breaks a rule as it is: ${death.what}`,
      hint: 'Run: rowhouse prove',
    });
  }

  return {
    urls,
    async judge(mutant) {
      const doctor = () => inTransaction(mutant.sql, byDoctor);
      const rulesOf = () => byRules(mutant, '', facts);
      // The catalogue says little of what a body does: there the rules are asked first.
      return mutant.class === BODIES ? ((await rulesOf()) ?? doctor()) : ((await doctor()) ?? rulesOf());
    },
    judgeUnprotected: (mutant) => byRules(mutant, `${UNPROTECTED};`, unprotected),
    close: () => client.end(),
  };
}
