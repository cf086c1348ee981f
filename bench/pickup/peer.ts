import { PgBoss } from 'pg-boss';

export interface Peer {
  /** Milliseconds from the insert's return to the handler's call. */
  submit(): Promise<number>;
  close(): Promise<void>;
}

/** pg-boss alone, in one process and a schema of its own: no HTTP, no tenant, no ledger. */
export async function openPeer(connectionString: string, { notify }: { notify: boolean }): Promise<Peer> {
  const schema = notify ? 'peer_notify' : 'peer_poll';
  const boss = new PgBoss({ connectionString, schema, useListenNotify: notify, schedule: false });
  boss.on('error', () => {}); // it retries; a job that never runs shows
  await boss.start();
  await boss.createQueue('pickup', { notify });
  let called = (_at: number) => {};
  await boss.work('pickup', async () => called(performance.now()));
  return {
    async submit() {
      const handled = new Promise<number>((resolve) => {
        called = resolve;
      });
      await boss.send('pickup', {});
      const sent = performance.now();
      return (await handled) - sent;
    },
    close: () => boss.stop({ graceful: false }),
  };
}
