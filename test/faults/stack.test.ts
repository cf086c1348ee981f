import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { isAlive, processesIn } from '../../functions/stack/processes.ts';
import { http } from '../support/http.ts';
import { runStart, type StartedStack, startStack } from '../support/started-stack.ts';

let directory: string;
let stack: StartedStack;

/** The members that db/seed.sql gives the demo tenants. */
const ACME = ['ada', 'alan', 'amy', 'ann'];
const GLOBEX = ['george', 'gina', 'grace', 'gus'];

const userIds = (members: { user_id: string }[]) => members.map(({ user_id }) => user_id).toSorted();
const alive = () => Object.entries(stack.children()).filter(([, identity]) => isAlive(identity));
const curls = () => stack.output().match(/^curl .*$/gm) ?? [];
const paste = (lines: string) => JSON.parse(execFileSync('sh', ['-c', lines], { encoding: 'utf8' }));

async function whoami(): Promise<number> {
  const token = /Bearer ([^']+)'/.exec(stack.output())?.[1] ?? '';
  try {
    return (await http(`${stack.info.edge}/v1/rpc/whoami`, { token, body: {} })).status;
  } catch {
    return 0;
  }
}

beforeAll(async () => {
  directory = path.join(mkdtempSync(path.join(tmpdir(), 'rowhouse-')), 'state');
  stack = await startStack(directory);
});
afterAll(async () => {
  stack?.process.kill('SIGINT');
  await stack?.ended;
  rmSync(path.dirname(directory), { recursive: true, force: true });
});

describe('rowhouse start', () => {
  test('prints three commands that work as they are pasted', () => {
    const [asAcme = '', asGlobex = '', across = '', ...others] = curls();
    expect(userIds(paste(asAcme))).toEqual(ACME);
    expect(userIds(paste(asGlobex))).toEqual(GLOBEX);
    expect(paste(across)).toEqual([]);
    expect(others).toEqual([]);
  });

  test('prints the variables of the README, ready to be pasted', () => {
    const exports = stack.output().match(/^export .*$/gm) ?? [];
    const seen = (token: string) =>
      paste([...exports, `curl -s "$EDGE/v1/rpc/whoami" -X POST -H "Authorization: Bearer $${token}"`].join('\n'));
    expect(seen('ACME')).toMatchObject({ tenant_id: 't_acme', subject: 'ada' });
    expect(seen('GLOBEX')).toMatchObject({ tenant_id: 't_globex', subject: 'grace' });
  });

  test('is refused where a stack runs already, and says where', async () => {
    const second = runStart(directory);
    expect(await second.ended).toBe(3);
    expect(second.output()).toContain(
      `Process ${stack.process.pid} runs a stack in ${directory}, at ${stack.info.edge}.`,
    );
    expect(await whoami()).toBe(200);
  });

  test.each(['worker', 'edge', 'postgrest', 'postgres'])('starts the %s again after a kill -9', async (name) => {
    const killed = stack.children()[name];
    if (!killed) throw new Error(`${name} is not recorded`);
    process.kill(killed.pid, 'SIGKILL');
    const isBack = () => {
      const now = stack.children()[name];
      return now !== undefined && now.startedAt !== killed.startedAt && isAlive(now);
    };
    await expect.poll(isBack, { timeout: 15_000 }).toBe(true);
    await expect.poll(whoami, { timeout: 15_000 }).toBe(200);
    expect(alive()).toHaveLength(4);
  });

  test('leaves no child behind when it is itself killed, and goes on where it was', async () => {
    await connected(stack.info.database.migrator, (client) =>
      client.query(`select tenancy.create_tenant('t_initech', 'initech', 'Initech', 'peter')`),
    );
    const before = stack.info;
    stack.process.kill('SIGKILL');
    await stack.ended;
    await expect.poll(alive, { timeout: 15_000 }).toEqual([]);
    expect(processesIn(stack.state.postgres)).toEqual([]);

    stack = await startStack(directory);
    expect(stack.info).toEqual(before);
    const { rowCount } = await connected(stack.info.database.migrator, (client) =>
      client.query(`select from tenancy.tenants where id = 't_initech'`),
    );
    expect(rowCount).toBe(1);
    expect(await whoami()).toBe(200);
  });

  test('stops every child on Ctrl-C and removes stack.json; then takes another port for one that is taken', async () => {
    const before = { ...stack.info, children: Object.values(stack.children()) };
    stack.process.kill('SIGINT');
    expect(await stack.ended).toBe(0);
    expect(before.children.filter(isAlive)).toEqual([]);
    expect(processesIn(stack.state.postgres)).toEqual([]);
    expect(existsSync(stack.state.stack)).toBe(false);
    expect(existsSync(stack.state.lock)).toBe(false);

    const squatter = createServer().listen(Number(new URL(before.edge).port), '127.0.0.1');
    await new Promise((resolve) => squatter.once('listening', resolve));
    onTestFinished(() => void squatter.close());
    stack = await startStack(directory, '--json');
    expect(JSON.parse(stack.output().trimEnd().split('\n').at(-1) ?? '')).toEqual(stack.info);
    expect(stack.info.edge).not.toBe(before.edge);
    expect(stack.info.postgrest).toBe(before.postgrest);
    expect(await whoami()).toBe(200);
  });

  test('keeps no password or token in its logs', () => {
    const secrets = JSON.parse(readFileSync(stack.state.secrets, 'utf8')) as { passwords: Record<string, string> };
    const logs = ['supervisor', 'postgres', 'postgrest', 'edge', 'worker']
      .map((name) => readFileSync(path.join(stack.state.logs, `${name}.log`), 'utf8'))
      .join('');
    expect(logs).toContain('postgres is ready');
    for (const password of Object.values(secrets.passwords)) expect(logs).not.toContain(password);
    expect(logs).not.toMatch(/eyJ[\w-]+\.eyJ/);
  });

  test('kills on a second Ctrl-C what does not stop by itself', async () => {
    const children = stack.children();
    process.kill(children.worker?.pid ?? 0, 'SIGSTOP');
    stack.process.kill('SIGINT');
    await expect.poll(() => stack.output()).toContain('once more to kill');
    stack.process.kill('SIGINT');
    expect(await stack.ended).toBe(130);
    expect(Object.values(children).filter(isAlive)).toEqual([]);
    // PostgreSQL's sessions see for themselves that their server is gone.
    await expect.poll(() => processesIn(stack.state.postgres)).toEqual([]);
  });
});
