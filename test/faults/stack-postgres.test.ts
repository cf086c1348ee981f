import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import pino from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { findPostgres } from '../../functions/stack/binaries.ts';
import { type Child, createChild } from '../../functions/stack/child.ts';
import { initialiseCluster } from '../../functions/stack/initdb.ts';
import { freePort } from '../../functions/stack/ports.ts';
import { type PostgresOptions, postgresChild } from '../../functions/stack/postgres.ts';
import { clearLeftovers } from '../../functions/stack/postmaster.ts';
import { identify, isAlive, processesIn } from '../../functions/stack/processes.ts';

const log = pino({ level: 'silent' });
let directory: string;
let options: PostgresOptions;
let pidFile: string;
let server: Child;

const pids = () => processesIn(options.dataDirectory).map(({ pid }) => pid);

async function connect(): Promise<pg.Client> {
  const { port, superuserPassword: password } = options;
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', password, database: 'postgres' });
  client.on('error', () => {});
  await client.connect();
  onTestFinished(() => client.end().catch(() => {}));
  return client;
}

async function startServer(restart = false): Promise<void> {
  server = createChild(postgresChild(options), { log, restart, onLine: () => {} });
  await server.start();
}

function pidOf(child: Child): number {
  const pid = child.pid();
  if (pid === undefined) throw new Error('the server does not run');
  return pid;
}

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'rowhouse-'));
  options = {
    binaries: findPostgres(),
    dataDirectory: path.join(directory, 'postgres'),
    runDirectory: path.join(directory, 'run'),
    port: await freePort(),
    superuserPassword: 'correct-horse',
    settings: { fsync: 'off' },
  };
  pidFile = path.join(options.dataDirectory, 'postmaster.pid');
  await initialiseCluster(options, ['--no-sync']);
});
afterEach(() => server.stop());
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('the embedded PostgreSQL', () => {
  test('serves with checksums, scram and UTF8, and stops with nothing left', async () => {
    await startServer();
    const client = await connect();
    const { rows } = await client.query(`select current_setting('data_checksums') as checksums,
      current_setting('server_encoding') as encoding, current_setting('password_encryption') as passwords,
      current_setting('listen_addresses') as addresses, current_setting('jit') as jit,
      (select string_agg(distinct auth_method, ',') from pg_hba_file_rules) as methods`);
    expect(rows).toEqual([
      {
        ...{ checksums: 'on', encoding: 'UTF8', passwords: 'scram-sha-256', addresses: '127.0.0.1', jit: 'off' },
        methods: 'scram-sha-256',
      },
    ]);
    await client.end();
    await server.stop();
    expect(pids()).toEqual([]);
    expect(existsSync(pidFile)).toBe(false);
  });

  test('starts where an empty postmaster.pid was left', async () => {
    writeFileSync(pidFile, '');
    await startServer();
    expect(readFileSync(pidFile, 'utf8')).toContain(options.dataDirectory);
  });

  test('starts where postmaster.pid names another program, which it leaves alone', async () => {
    const other = spawn('sleep', ['60'], { stdio: 'ignore' });
    onTestFinished(() => void other.kill('SIGKILL'));
    const identity = identify(other.pid ?? 0);
    writeFileSync(pidFile, `${other.pid}\n${options.dataDirectory}\n1\n${options.port}\n\n127.0.0.1\n`);
    await startServer();
    expect(identity && isAlive(identity)).toBe(true);
  });

  test('stops a server that its parent left running, keeping what it had committed', async () => {
    await startServer();
    const client = await connect();
    await client.query('create table survives (x int)');
    await client.end();
    await clearLeftovers(options.dataDirectory);
    expect(pids()).toEqual([]);

    await startServer();
    const again = await connect();
    expect((await again.query('select * from survives')).rows).toEqual([]);
  });

  test('is started again after a kill -9, past the backends that were busy', async () => {
    await startServer(true);
    const busy = await connect();
    const hanging = busy.query('select pg_sleep(30)').catch(() => 'lost');
    const killed = pidOf(server);
    process.kill(killed, 'SIGKILL');
    expect(await hanging).toBe('lost');
    await expect
      .poll(
        () =>
          connect().then(
            () => true,
            () => false,
          ),
        { timeout: 15_000 },
      )
      .toBe(true);
    expect(pidOf(server)).not.toBe(killed);
  });

  test('reports a wrong password at once', async () => {
    const other = createChild(postgresChild({ ...options, superuserPassword: 'guess' }), {
      ...{ log, restart: false, onLine: () => {} },
    });
    server = other;
    await expect(other.start()).rejects.toMatchObject({ code: 'stack_failed', status: 500 });
  });
});
