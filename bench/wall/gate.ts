import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { connected } from '../../functions/database.ts';
import { median, round } from '../statistics.ts';
import type { Tenant } from './tables.ts';

/** µs of CPU, which other work on the machine changes little; µs that passed, where there is no /proc. */
export interface GateCost {
  /** Called once in each transaction, as PostgREST does: what each transaction makes anew counts. */
  perTransaction: number;
  /** Called again and again in one statement. */
  warm: number;
}

const TRANSACTIONS = 200;
const CALLS = 2000;

/** An empty function of the same kind, so that what is left is the gate's own. */
const NOTHING = `
  create schema wall_gate;
  create function wall_gate.nothing() returns void language plpgsql volatile security definer set search_path = '' as 'begin end';
  grant usage on schema wall_gate to tenant_user;
  grant execute on function wall_gate.nothing() to tenant_user`;

/**
 * What auth.pre_request() costs a request, with a real token in headers like a browser's: median of batches in one session, less those
 * of an empty function, taken in turn.
 */
export async function measureGate(adminUrl: string, tenant: Tenant, batches: number): Promise<GateCost> {
  return connected(adminUrl, async (client) => {
    await client.query(NOTHING);
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const clock = clockOf(rows[0]?.pid ?? 0);
    const perTransaction: number[] = [];
    const warm: number[] = [];
    for (let nth = 0; nth <= batches; nth++) {
      const transactions = {
        nothing: await timeTransactions(client, clock, tenant, 'wall_gate.nothing()'),
        gate: await timeTransactions(client, clock, tenant, 'auth.pre_request()'),
      };
      const calls = {
        nothing: await timeCalls(client, clock, tenant, 'wall_gate.nothing()'),
        gate: await timeCalls(client, clock, tenant, 'auth.pre_request()'),
      };
      if (nth === 0) continue; // Warm-up.
      perTransaction.push(transactions.gate - transactions.nothing);
      warm.push(calls.gate - calls.nothing);
    }
    return { perTransaction: round(median(perTransaction), 1), warm: round(median(warm), 1) };
  });
}

type Clock = () => number;

/** The nanoseconds that a process has been on a CPU are the first field of /proc/PID/schedstat. */
function clockOf(backend: number): Clock {
  if (process.platform !== 'linux') return () => performance.now() * 1000;
  return () => Number(readFileSync(`/proc/${backend}/schedstat`, 'utf8').split(' ')[0]) / 1000;
}

/** As PostgREST sets them; in one message, so that round trips are no part of it. */
const context = ({ token }: Tenant) => {
  const headers = {
    host: '127.0.0.1:3000',
    accept: 'application/json',
    'accept-encoding': 'gzip, deflate, br',
    'accept-language': 'en',
    'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
    authorization: `Bearer ${token}`,
  };
  return `select set_config('role', 'tenant_user', true), set_config('request.method', 'GET', true),
    set_config('request.path', '/files', true), set_config('request.headers', '${JSON.stringify(headers)}', true)`;
};

/** @returns µs of one transaction */
async function timeTransactions(client: pg.Client, clock: Clock, tenant: Tenant, call: string): Promise<number> {
  const transactions = `begin; ${context(tenant)}; select ${call}; commit;`.repeat(TRANSACTIONS);
  const begin = clock();
  await client.query(transactions);
  return (clock() - begin) / TRANSACTIONS;
}

/** @returns µs of one call */
async function timeCalls(client: pg.Client, clock: Clock, tenant: Tenant, call: string): Promise<number> {
  await client.query(`begin; ${context(tenant)}`);
  const begin = clock();
  await client.query(`select count(${call}) from generate_series(1, ${CALLS})`);
  const micros = (clock() - begin) / CALLS;
  await client.query('rollback');
  return micros;
}
