import type { Rule } from './types.ts';
import { createEndpoint, NOBODYS, webhookRule } from './webhook-acting.ts';

const REGISTER = 'webhook.register_sender(text,text,boolean)';
const register = `select webhook.register_sender('prove', $1, $2)`;
const REWRAP = 'webhook.rewrap_secret(text,uuid,uuid,text,bytea)';
const DISABLE = 'webhook.disable(text,uuid,text)';

/** What workers do for webhooks. */
export const webhookWorkRules: Rule[] = [
  webhookRule(
    REGISTER,
    'a worker says which key is its own, as often as it starts',
    async ({ ok, refused }) => {
      await ok(register, ['one', false]);
      await ok(register, ['one', false]);
      await refused('42501', 'select from webhook.senders');
    },
    'rowhouse_worker',
  ),
  webhookRule(
    REGISTER,
    'a key that was registered is not replaced',
    async ({ ok, same }) => {
      await ok(register, ['one', false]);
      await ok(register, ['two', true]);
      same(
        await ok(`select public_key, allow_http from webhook.senders where key_id = 'prove'`),
        [{ public_key: 'one', allow_http: true }],
        'what is known of it',
      );
    },
    'rowhouse_migrator',
  ),
  webhookRule(
    DISABLE,
    'a tenant is told when its endpoint is disabled, once',
    async (acting) => {
      const { enter, ok, same, facts } = acting;
      const { A } = facts.world.tenants;
      await enter('A_admin');
      const { id } = await createEndpoint(acting);
      await ok('set local role rowhouse_dispatcher');
      const disable = `select webhook.disable($1, $2, 'gone') as disabled`;
      await ok('set local synchronous_commit = off');
      same(await ok(disable, [A, id]), [{ disabled: true }], 'whether it is disabled now');
      same(await ok('show synchronous_commit'), [{ synchronous_commit: 'on' }], 'whether its event waits for the disk');
      same(await ok(disable, [A, id]), [{ disabled: false }], 'whether it is disabled again');
      same(await ok(disable, [A, NOBODYS]), [{ disabled: false }], "whether nobody's is");
      same(
        await ok(
          `select event -> 'data' ->> 'reason' as reason from ledger.events
           where tenant_id = $1 and type = 'webhook.endpoint.disabled' and subject = $2`,
          [A, id],
        ),
        [{ reason: 'gone' }],
        'what it is told',
      );
    },
    'rowhouse_migrator',
  ),
  webhookRule(
    REWRAP,
    'a secret is encrypted anew for the newest key alone',
    async (acting) => {
      const { enter, ok, same, facts } = acting;
      const { A } = facts.world.tenants;
      await enter('A_admin');
      const { id } = await createEndpoint(acting);
      await ok(register, ['one', false]);
      await ok('set local role rowhouse_dispatcher');
      const outdated = (key: string) =>
        ok<{ id: string; key_id: string }>(
          `select id, key_id from webhook.outdated_secrets($1, $2, '${NOBODYS}', '${NOBODYS}') where endpoint_id = $3`,
          [key, A, id],
        );
      const [secret] = await outdated('prove');
      const older = secret?.key_id ?? '';
      same(await outdated(older), [], 'what is outdated for an older key');
      const rewrap = `select webhook.rewrap_secret($1, $2, $3, $4, '')`;
      await ok(rewrap, [A, id, secret?.id, older]);
      same(await outdated('prove'), [secret], 'what is outdated');
      await ok(rewrap, [A, id, secret?.id, 'prove']);
      same(await outdated('prove'), [], 'what is outdated after that');
      await ok(rewrap, [A, id, secret?.id, older]);
      same(await outdated('prove'), [], 'what is outdated after an older worker has been there');
    },
    'rowhouse_migrator',
  ),
  webhookRule(
    REWRAP,
    'a worker encrypts secrets anew',
    async ({ ok, same, facts }) => {
      const { A } = facts.world.tenants;
      await ok(register, ['one', false]);
      const outdated = `select count(*) > 0 as some from webhook.outdated_secrets('prove', $1, '${NOBODYS}', '${NOBODYS}') where tenant_id = $1`;
      same(await ok(outdated, [A]), [{ some: true }], 'whether there is any');
      await ok(`select webhook.rewrap_secret($1, '${NOBODYS}', '${NOBODYS}', 'prove', '')`, [A]);
    },
    'rowhouse_worker',
  ),
];
