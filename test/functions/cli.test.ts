import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { packageRoot } from '../../functions/paths.ts';
import { createSecretOpener } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { createBlankDatabase } from '../support/blank-database.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { temporaryDirectory } from '../support/temporary.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
});

afterAll(() => stack?.stop());

interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

const bin = join(packageRoot, 'bin/rowhouse.js');

function run(args: string[], { cwd = packageRoot, env = {}, node = [] as string[] } = {}): Promise<Outcome> {
  const { DATABASE_URL: _, ...inherited } = process.env;
  const child = spawn(process.execPath, [...node, bin, ...args], { cwd, env: { ...inherited, ...env } });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (chunk) => (printed[name] += chunk));
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, ...printed })));
}

/** A command on the test's database. */
const rowhouse = (...args: string[]) => run(args, { env: { DATABASE_URL: stack.database.migrator } });
const claims = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
const admitted = (token: string) =>
  connected(stack.database.edge, async (client) => {
    await client.query('begin');
    await client.query('select auth.enter($1)', [token]);
    return (await client.query('select request.role() as role, request.subject() as subject')).rows[0];
  });

describe('token', () => {
  test("prints a token and nothing else, with the member's own role, that the gate admits", async () => {
    const { status, stdout, stderr } = await rowhouse(
      'token',
      '--tenant',
      't_acme',
      '--user',
      'viewer',
      '--ttl',
      '12h',
    );
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    const { tenant_id, sub, tenant_role, role, iat, exp } = claims(stdout);
    expect([tenant_id, sub, tenant_role, role, exp - iat]).toEqual([
      't_acme',
      'viewer',
      'viewer',
      'tenant_user',
      43_200,
    ]);
    expect(await admitted(stdout.trim())).toEqual({ role: 'tenant_user', subject: 'viewer' });
  });

  test('carries a lower role when asked, and lives an hour unless told', async () => {
    const { stdout } = await rowhouse('token', '--tenant', 't_acme', '--user', 'owner', '--role', 'member', '--json');
    const { token, expires_in } = JSON.parse(stdout);
    expect([claims(token).tenant_role, expires_in, claims(token).exp - claims(token).iat]).toEqual([
      'member',
      3600,
      3600,
    ]);
  });

  test.each([
    [['--tenant', 't_acme', '--user', 'stranger'], 'membership_required: stranger is not a member of t_acme'],
    [['--tenant', 't_none', '--user', 'owner'], 'tenant_unknown: no tenant t_none'],
    [
      ['--tenant', 't_acme', '--user', 'viewer', '--role', 'owner'],
      'role_insufficient: viewer is viewer of t_acme: a token cannot carry owner',
    ],
    [
      ['--tenant', 't_acme', '--user', 'owner', '--role', 'king'],
      'token_invalid: the tenant role is not viewer, member, admin or owner',
    ],
    [
      ['--tenant', 't_acme', '--user', 'owner', '--ttl', '32d'],
      'token_invalid: a token lives for more than nothing and at most 31 days',
    ],
    [['--operator', '--user', 'stranger'], 'membership_required: stranger is not an operator'],
  ])('refuses %j', async (args, message) => {
    const { status, stdout, stderr } = await rowhouse('token', ...args);
    expect([status, stdout, stderr.split('\n')[0]]).toEqual([1, '', `error ${message}`]);
  });

  test('gives an operator a token of no tenant', async () => {
    await stack.operatorToken('olga');
    const { stdout } = await rowhouse('token', '--operator', '--user', 'olga');
    expect([claims(stdout).role, claims(stdout).tenant_id]).toEqual(['operator', undefined]);
  });
});

describe('tenant', () => {
  test('creates, lists, suspends and resumes', async () => {
    const created = await rowhouse(
      'tenant',
      'create',
      't_north_pole',
      '--name',
      'North Pole',
      '--owner',
      'nick',
      '--json',
    );
    expect(created.status).toBe(0);
    expect(JSON.parse(created.stdout)).toMatchObject({
      id: 't_north_pole',
      slug: 'north-pole',
      name: 'North Pole',
      tier: 'standard',
      status: 'active',
    });
    expect((await rowhouse('token', '--tenant', 't_north_pole', '--user', 'nick')).status).toBe(0);

    const ids = async () =>
      JSON.parse((await rowhouse('tenant', 'list', '--json')).stdout).map((t: { id: string; status: string }) => [
        t.id,
        t.status,
      ]);
    expect(await ids()).toEqual([
      ['t_acme', 'active'],
      ['t_globex', 'active'],
      ['t_north_pole', 'active'],
    ]);
    expect((await rowhouse('tenant', 'suspend', 't_north_pole')).status).toBe(0);
    expect(await ids()).toEqual([
      ['t_acme', 'active'],
      ['t_globex', 'active'],
      ['t_north_pole', 'suspended'],
    ]);
    expect((await rowhouse('tenant', 'resume', 't_north_pole')).status).toBe(0);
    expect(await ids()).toEqual([
      ['t_acme', 'active'],
      ['t_globex', 'active'],
      ['t_north_pole', 'active'],
    ]);
  });

  test('prints aligned columns without colours where no terminal is', async () => {
    const { stdout } = await rowhouse('tenant', 'list');
    const [head = '', first = ''] = stdout.split('\n');
    expect(head).toMatch(/^id +slug +name +tier +region +status +created$/);
    expect(first).toMatch(/^t_acme +t-acme +t_acme +standard +default +active +\d{4}-\d\d-\d\d$/);
    expect(first.indexOf('standard')).toBe(head.indexOf('tier'));
  });

  test.each([
    [['create', 't_acme', '--owner', 'x'], 'tenant_exists'],
    [['create', 'acme', '--owner', 'x'], 'tenant_invalid'],
    [['suspend', 't_none'], 'tenant_unknown'],
  ])('refuses %j', async (args, code) => {
    const { status, stdout, stderr } = await rowhouse('tenant', ...args, '--json');
    expect([status, stdout, JSON.parse(stderr).code]).toEqual([1, '', code]);
  });
});

describe('key', () => {
  test('rotates and retires: tokens of the older key are good until it is retired', async () => {
    const list = async () =>
      JSON.parse((await rowhouse('key', 'list', '--json')).stdout).map((key: { kid: string; status: string }) => [
        key.kid,
        key.status,
      ]);
    const [[first] = []] = await list();
    const { stdout } = await rowhouse('token', '--tenant', 't_acme', '--user', 'owner');
    const { kid } = JSON.parse((await rowhouse('key', 'rotate', '--json')).stdout);
    expect(await list()).toEqual([
      [kid, 'active'],
      [first, 'accepted'],
    ]);
    expect(await admitted(stdout.trim())).toMatchObject({ subject: 'owner' });
    expect((await rowhouse('key', 'retire', first ?? '')).status).toBe(0);
    expect(await list()).toEqual([
      [kid, 'active'],
      [first, 'retired'],
    ]);
    await expect(admitted(stdout.trim())).rejects.toMatchObject({ code: 'PGRST' });
  });

  test('refuses to retire the active key', async () => {
    const { stdout } = await rowhouse('key', 'rotate', '--json');
    const { status, stderr } = await rowhouse('key', 'retire', JSON.parse(stdout).kid, '--json');
    expect([status, JSON.parse(stderr).code]).toEqual([1, 'key_unknown']);
  });
});

describe('api-key', () => {
  const own = ['--tenant', 't_acme', '--user', 'admin', '--json'];
  const exchanged = (key: string) =>
    connected(stack.database.edge, async (client) => {
      const { rows } = await client.query(`select auth.exchange_api_key($1, '127.0.0.1') as made`, [key]);
      return admitted(rows[0].made.token);
    });

  test('creates, lists and revokes', async () => {
    const made = JSON.parse(
      (
        await rowhouse(
          'api-key',
          'create',
          ...own,
          '--name',
          'importer',
          '--scopes',
          'write',
          '--network',
          '127.0.0.0/8',
        )
      ).stdout,
    );
    expect(made).toMatchObject({
      name: 'importer',
      scopes: ['read', 'write'],
      tenant_role: 'member',
      created_by: 'admin',
    });
    expect(await exchanged(made.key)).toMatchObject({ subject: `key:${made.id}` });
    const { stdout } = await rowhouse('api-key', 'list', '--tenant', 't_acme');
    expect(stdout).toContain(`${made.id}  importer  good`);
    expect(stdout).not.toContain(made.key.split('_').at(-1));
    expect((await rowhouse('api-key', 'list', '--tenant', 't_globex', '--json')).stdout).toBe('[]\n');
    expect((await rowhouse('api-key', 'revoke', made.id, ...own)).status).toBe(0);
    await expect(exchanged(made.key)).rejects.toThrow(/api_key_invalid/);
  });

  test.each([
    [['--user', 'member'], 'role_insufficient'],
    [['--user', 'stranger'], 'membership_required'],
    [['--user', 'admin', '--scopes', 'everything'], 'usage_invalid'],
    [['--user', 'admin', '--role', 'owner'], 'api_key_malformed'],
  ])('create refuses %j', async (args, code) => {
    const { status, stderr } = await rowhouse(
      'api-key',
      'create',
      '--tenant',
      't_acme',
      '--name',
      'x',
      '--json',
      ...args,
    );
    expect([status, JSON.parse(stderr).code]).toEqual([code === 'usage_invalid' ? 2 : 1, code]);
  });
});

describe('issuer', () => {
  test('adds, lists, disables and enables', async () => {
    const issuer = 'https://acme.okta.com';
    const add = (...args: string[]) => rowhouse('issuer', 'add', ...args, '--audience', 'app', '--json');
    expect(JSON.parse((await add(issuer, '--prefix', 'okta:')).stdout)).toEqual({
      issuer,
      subject_prefix: 'okta:',
      audiences: ['app'],
      algorithms: ['RS256', 'ES256', 'EdDSA'],
      jwks_uri: null,
      enabled: true,
    });
    const enabled = async () => JSON.parse((await rowhouse('issuer', 'list', '--json')).stdout)[0].enabled;
    expect((await rowhouse('issuer', 'disable', issuer)).status).toBe(0);
    expect(await enabled()).toBe(false);
    expect((await rowhouse('issuer', 'enable', issuer)).status).toBe(0);
    expect(await enabled()).toBe(true);
    for (const wrong of [
      [issuer, '--prefix', 'other:'],
      ['https://other.example', '--prefix', 'okta:'],
      ['https://other.example', '--prefix', 'key:'],
      ['https://other.example', '--prefix', 'a:b:'],
      ['other.example', '--prefix', 'other:'],
    ]) {
      expect(JSON.parse((await add(...wrong)).stderr).code, String(wrong)).toBe('usage_invalid');
    }
  });
});

describe('migrate', () => {
  test('goes up, tells the status, and goes down, on the database that is named', async () => {
    const database = await createBlankDatabase();
    try {
      const at = ['--database', database.urls.migrator, '--json'];
      const missing = await run(['tenant', 'list', ...at]);
      expect([missing.status, JSON.parse(missing.stderr).code]).toEqual([1, 'schema_missing']);
      const { files } = JSON.parse((await run(['migrate', 'check', '--json'])).stdout);
      expect(JSON.parse((await run(['migrate', 'up', ...at])).stdout)).toEqual({ applied: files });
      expect(JSON.parse((await run(['migrate', 'down', '--steps', '1', ...at])).stdout)).toEqual({
        undone: files.slice(-1),
      });
      const status = JSON.parse((await run(['migrate', 'status', ...at])).stdout);
      expect(status.map(({ applied }: { applied: boolean }) => applied)).toEqual(
        files.map((file: string) => file !== files.at(-1)),
      );
    } finally {
      await database.drop();
    }
  });
});

describe('every command', () => {
  const COMMANDS = [
    [],
    ...['up', 'down', 'status', 'new', 'check', 'freeze'].map((name) => ['migrate', name]),
    ...['create', 'list', 'suspend', 'resume'].map((name) => ['tenant', name]),
    ...['list', 'rotate', 'retire'].map((name) => ['key', name]),
    ['token'],
  ];
  test.each(COMMANDS.map((command) => [command]))('shows what it takes, with an example: %j', async (command) => {
    const { status, stdout, stderr } = await run([...command, '--help']);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^Usage: rowhouse/);
    expect(stdout).toMatch(/Examples?:\n {2}\$ rowhouse /);
  });

  test.each([
    [['fly'], "unknown command 'fly'"],
    [['token'], "required option '--user <subject>' not specified"],
    [['token', '--user', 'x'], 'a token is either for --tenant, with a --role if wanted, or for --operator'],
    [
      ['token', '--user', 'x', '--operator', '--tenant', 't_x'],
      'a token is either for --tenant, with a --role if wanted, or for --operator',
    ],
    [
      ['token', '--user', 'x', '--ttl', '5 minutes'],
      "option '--ttl <duration>' argument '5 minutes' is invalid. Write a number and a unit: 90s, 15m, 12h or 7d.",
    ],
    [
      ['migrate', 'down', '--steps', '0'],
      "option '--steps <n>' argument '0' is invalid. Write a whole number from 1 on.",
    ],
    [['tenant', 'list', '--database', 'mysql://x'], '--database is not a PostgreSQL URL'],
    [
      ['tenant', 'list', '--database', 'postgres://x/y', '--state-dir', 'z'],
      "option '--state-dir <dir>' cannot be used with option '--database <url>'",
    ],
    [
      ['events', 'tail', '--tenant', 't_acme', '--once', '--type', 'order.*', 'bad pattern!'],
      "option '--type <pattern...>' argument 'bad pattern!' is invalid. Write types such as order.paid, 'order.*' or '*.deleted'.",
    ],
  ])('ends with 2 when used wrongly: %j', async (args, message) => {
    const { status, stdout, stderr } = await run(args);
    expect([status, stdout, stderr.split('\n')[0]]).toEqual([2, '', `error usage_invalid: ${message}`]);
  });

  test('tells errors as one JSON object where asked', async () => {
    const { stderr } = await run(['fly', '--json']);
    expect(JSON.parse(stderr)).toEqual({
      code: 'usage_invalid',
      title: 'The command line is not valid',
      detail: "unknown command 'fly'",
      hint: 'Add --help to the command to see what it takes.',
    });
  });

  test('ends with 3 when the database does not answer, and never prints its password', async () => {
    const { status, stdout, stderr } = await run([
      'tenant',
      'list',
      '--database',
      'postgres://me:geheim@127.0.0.1:1/rows',
    ]);
    expect([status, stdout]).toEqual([3, '']);
    expect(stderr).toBe(
      'error database_unavailable: 127.0.0.1:1/rows: connect ECONNREFUSED 127.0.0.1:1\n' +
        '  Start the stack with: npm start   or name another database with --database.\n',
    );
  });

  test('says which login to use when the one given may not do this', async () => {
    const { status, stderr } = await run(['key', 'list', '--json', '--database', stack.database.edge]);
    expect([status, JSON.parse(stderr)]).toMatchObject([
      1,
      { code: 'permission_denied', hint: expect.stringContaining('rowhouse_migrator') },
    ]);
  });

  test('works on the stack that runs in the directory, else ends with 3 and says how to start one', async () => {
    const cwd = temporaryDirectory();
    const none = await run(['tenant', 'list', '--json'], { cwd });
    expect([none.status, JSON.parse(none.stderr)]).toMatchObject([
      3,
      { code: 'stack_missing', detail: 'no stack runs in .rowhouse', hint: expect.stringContaining('npm start') },
    ]);
    mkdirSync(join(cwd, '.rowhouse'));
    writeFileSync(join(cwd, '.rowhouse/stack.json'), JSON.stringify({ database: stack.database }));
    expect((await run(['tenant', 'list', '--json'], { cwd })).status).toBe(0);
  });

  test('works on the stack that --state-dir names, whatever DATABASE_URL and the directory say', async () => {
    const cwd = temporaryDirectory();
    const stateOf = (name: string, database: object) => {
      mkdirSync(join(cwd, name));
      writeFileSync(join(cwd, name, 'stack.json'), JSON.stringify({ database }));
    };
    const nowhere = 'postgres://nobody@127.0.0.1:1/none';
    stateOf('.rowhouse', { migrator: nowhere, authenticator: nowhere });
    stateOf('second', stack.database);
    const [token, options] = [await stack.token({ tenant: 't_acme' }), { cwd, env: { DATABASE_URL: nowhere } }];
    for (const command of [
      ['tenant', 'list'],
      ['explain', '--token', token, 'GET', '/v1/jobs'],
    ]) {
      expect(await run([...command, '--json'], options)).toMatchObject({ status: 3 });
      expect(await run([...command, '--json', '--state-dir', 'second'], options)).toMatchObject({
        status: 0,
        stderr: '',
      });
    }
    const none = await run(['tenant', 'list', '--json', '--state-dir', 'third'], options);
    expect([none.status, JSON.parse(none.stderr)]).toMatchObject([
      3,
      { code: 'stack_missing', detail: 'no stack runs in third' },
    ]);
  });
});

test("runs with the project's own Node where the machine's is older, and passes the exit code on", async () => {
  const older = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.0.0' } })`;
  const node = ['--import', `data:text/javascript,${encodeURIComponent(older)}`];
  const listed = await run(['tenant', 'list', '--json'], { env: { DATABASE_URL: stack.database.migrator }, node });
  expect([listed.status, listed.stderr]).toEqual([0, '']);
  expect(JSON.parse(listed.stdout).length).toBeGreaterThan(1);
  expect((await run(['fly'], { node })).status).toBe(2);
});

describe('webhook-key', () => {
  test('prints a private key, on one line or armoured, and with --json its public half and id', async () => {
    const line = await run(['webhook-key']);
    expect(line).toMatchObject({ status: 0, stderr: '', stdout: expect.stringMatching(/^[A-Za-z0-9+/]{1000,}=*\n$/) });
    const { stdout } = await run(['webhook-key', '--armor', '--json']);
    const { key_id, private_key, public_key } = JSON.parse(stdout);
    expect(private_key).toMatch(/^-----BEGIN PGP PRIVATE KEY BLOCK-----/);
    expect(await createSecretOpener(private_key)).toMatchObject({ keyId: key_id, publicKey: expect.any(String) });
    expect(public_key).toMatch(/^-----BEGIN PGP PUBLIC KEY BLOCK-----/);
  });

  test('lists none, and says what to do, before a worker has come', async () => {
    const { status, stdout } = await rowhouse('webhook-key', 'list');
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^No worker has registered a key yet\./)]);
    expect(await rowhouse('webhook-key', 'list', '--json')).toMatchObject({ status: 0, stdout: '[]\n' });
  });
});
