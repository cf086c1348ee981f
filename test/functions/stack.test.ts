import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { RowhouseError } from '../../functions/errors.ts';
import { findPostgrest } from '../../functions/stack/binaries.ts';
import { lastWords } from '../../functions/stack/last-words.ts';
import { takeLock } from '../../functions/stack/lock.ts';
import { openChildLog, rateNode, ratePostgres, ratePostgrest } from '../../functions/stack/logs.ts';
import { choosePorts } from '../../functions/stack/ports.ts';
import { socketDirectory } from '../../functions/stack/postgres.ts';
import { identify, isAlive, type ProcessIdentity } from '../../functions/stack/processes.ts';
import { openSecrets, openWebhookKey } from '../../functions/stack/secrets.ts';
import { openStateDirectory, readJson, stateDirectory, writeJson } from '../../functions/stack/state.ts';
import { takeOver } from '../../functions/stack/takeover.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** The RowhouseError that the work raises. */
async function failure(work: () => unknown): Promise<RowhouseError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof RowhouseError) return error;
    throw error;
  }
  throw new Error('nothing was raised');
}

function sleeper(): ProcessIdentity {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  const identity = identify(child.pid ?? 0);
  if (!identity) throw new Error('sleep did not start');
  return identity;
}

describe('the state directory', () => {
  test('is readable for its owner only, and so are its files', () => {
    const state = openStateDirectory(path.join(temporaryDirectory(), 'state'));
    openSecrets(state);
    expect(statSync(state.root).mode & 0o777).toBe(0o700);
    expect(statSync(state.secrets).mode & 0o777).toBe(0o600);
  });

  test('keeps its secrets from one start to the next', () => {
    const state = openStateDirectory(path.join(temporaryDirectory(), 'state'));
    const first = openSecrets(state);
    expect(openSecrets(state)).toEqual(first);
    expect(new Set([...Object.values(first.passwords), first.STORAGE_SECRET]).size).toBe(6);
  });

  test('keeps the key of webhook secrets, too, and adds it where a stack of before has none', async () => {
    const state = openStateDirectory(path.join(temporaryDirectory(), 'state'));
    const before = openSecrets(state);
    const first = await openWebhookKey(state, before);
    expect(first).toEqual({ ...before, WEBHOOK_PRIVATE_KEY: expect.stringContaining('PGP PRIVATE KEY') });
    expect(await openWebhookKey(state, openSecrets(state))).toEqual(first);
    expect(statSync(state.secrets).mode & 0o777).toBe(0o600);
  });

  test('makes no new passwords for a database that has others', async () => {
    const state = openStateDirectory(path.join(temporaryDirectory(), 'state'));
    mkdirSync(state.postgres);
    expect((await failure(() => openSecrets(state))).code).toBe('stack_failed');
    expect(existsSync(state.secrets)).toBe(false);
  });

  test('is not made in a directory that holds something else', async () => {
    const directory = temporaryDirectory();
    writeFileSync(path.join(directory, 'thesis.txt'), 'mine');
    expect((await failure(() => openStateDirectory(directory))).code).toBe('stack_failed');
  });

  test('loses its data and nothing else on a fresh start', async () => {
    const state = openStateDirectory(path.join(temporaryDirectory(), 'state'));
    openSecrets(state);
    writeFileSync(path.join(state.storage, 'object'), 'data');
    writeFileSync(path.join(state.root, 'notes.txt'), 'mine');
    const { release } = await takeOver(state.root, true);
    release();
    expect(existsSync(state.secrets)).toBe(false);
    expect(existsSync(path.join(state.storage, 'object'))).toBe(false);
    expect(readFileSync(path.join(state.root, 'notes.txt'), 'utf8')).toBe('mine');
  });
});

describe('the lock', () => {
  test('refuses a directory that a live process holds, and says who and where', async () => {
    const state = openStateDirectory(path.join(temporaryDirectory(), 'state'));
    const holder = sleeper();
    writeJson(state.lock, holder);
    writeJson(state.stack, { edge: 'http://127.0.0.1:8080' });
    const error = await failure(() => takeLock(state));
    expect(error).toMatchObject({ code: 'stack_running', status: 409 });
    expect(error.detail).toBe(`Process ${holder.pid} runs a stack in ${state.root}, at http://127.0.0.1:8080.`);
  });

  test.each([
    ['a process that is gone', () => JSON.stringify({ pid: 4_194_304, startedAt: '1' })],
    ['a process whose pid was given to another', () => JSON.stringify({ ...sleeper(), startedAt: '1' })],
    ['a crash that left half a file', () => '{"pid":'],
  ])('replaces the lock of %s', (_, text) => {
    const state = openStateDirectory(path.join(temporaryDirectory(), 'state'));
    writeFileSync(state.lock, text());
    const release = takeLock(state);
    expect(readJson<ProcessIdentity>(state.lock)?.pid).toBe(process.pid);
    release();
    expect(existsSync(state.lock)).toBe(false);
  });
});

describe('what an earlier run left', () => {
  test('is ended when it is the recorded process, and spared when its pid was reused', async () => {
    const state = openStateDirectory(path.join(temporaryDirectory(), 'state'));
    const [recorded, reused] = [sleeper(), sleeper()];
    writeJson(state.processes, { edge: recorded, worker: { ...reused, startedAt: '1' } });
    const { release } = await takeOver(state.root, false);
    release();
    expect(isAlive(recorded)).toBe(false);
    expect(isAlive(reused)).toBe(true);
  });
});

describe('ports', () => {
  test('are kept from the last start, except one that is taken', async () => {
    const state = openStateDirectory(path.join(temporaryDirectory(), 'state'));
    const first = await choosePorts(state);
    expect(await choosePorts(state)).toEqual(first);

    const squatter = createServer().listen(first.edge, '127.0.0.1');
    await new Promise((resolve) => squatter.once('listening', resolve));
    onTestFinished(() => void squatter.close());
    const second = await choosePorts(state);
    expect(second.edge).not.toBe(first.edge);
    expect(second).toMatchObject({ postgrest: first.postgrest, postgres: first.postgres });
  });
});

describe('the socket', () => {
  test('is in the state directory where its path fits, and absent where it does not', () => {
    expect(socketDirectory({ runDirectory: '/var/rowhouse/run', port: 54320 })).toBe('/var/rowhouse/run');
    expect(socketDirectory({ runDirectory: `/${'long'.repeat(25)}`, port: 54320 })).toBeUndefined();
  });
});

describe('PostgREST', () => {
  test('is not looked for elsewhere when POSTGREST_BIN names no program', async () => {
    const error = await failure(() => findPostgrest('/nowhere/postgrest'));
    expect(error.code).toBe('binary_missing');
    expect(error.detail).toContain('/nowhere/postgrest');
  });
});

describe('the last words of a child', () => {
  const logged = (level: number, msg: string, err?: object) => JSON.stringify({ level, time: 1, msg, err });

  test('are what went wrong and what to do, not its log', () => {
    const err = { message: 'JOBS_DIR: a.js: has no default export', hint: 'See docs/jobs.md', stack: 'at x' };
    expect(lastWords([logged(30, 'job type taken'), logged(60, 'worker cannot start', err)])).toEqual({
      text: 'worker cannot start: JOBS_DIR: a.js: has no default export',
      hint: 'See docs/jobs.md',
    });
  });

  test('are the lines themselves where it kept no log', () => {
    const lines = Array.from({ length: 20 }, (_, index) => `line ${index}`);
    expect(lastWords([...lines, '{"level":'])).toEqual({
      text: [...lines.slice(-7), '{"level":'].join('\n'),
      hint: undefined,
    });
  });
});

describe('child logs', () => {
  test('keep pino lines as they are and wrap plain text', () => {
    const directory = stateDirectory(temporaryDirectory()).logs;
    const mirrored: string[] = [];
    const log = openChildLog(directory, 'postgres', ratePostgres, (json) => mirrored.push(json));
    const own = '{"level":30,"time":1,"msg":"its own"}';
    log.write(own);
    log.write('2026-01-01 00:00:00.000 UTC [7] PANIC:  could not write');
    log.close();
    const lines = readFileSync(path.join(directory, 'postgres.log'), 'utf8').trimEnd().split('\n');
    expect(lines[0]).toBe(own);
    expect(JSON.parse(lines[1] ?? '')).toMatchObject({ level: 60, name: 'postgres', severity: 'PANIC' });
    expect(mirrored).toHaveLength(2);
  });

  test.each([
    [ratePostgres, 'x UTC [1] ERROR:  duplicate key value', 'info'],
    [ratePostgres, 'x UTC [1] FATAL:  too many connections', 'warn'],
    [ratePostgres, 'x UTC [1] a@b FATAL:  the database system is starting up', 'info'],
    [ratePostgres, 'x UTC [1] FATAL:  role "the database system is starting up" does not exist', 'warn'],
    [ratePostgres, 'x UTC [1] LOG:  a statement about WARNING:', 'info'],
    [ratePostgrest, 'Failed to load the schema cache', 'warn'],
    [ratePostgrest, 'Schema cache loaded', 'info'],
    [rateNode, 'SyntaxError: Unexpected token', 'error'],
  ])('%o rates %s as %s', (rate, line, level) => {
    expect(rate(line).level).toBe(level);
  });
});
