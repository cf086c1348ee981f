import { MAX_ENTRIES, makeCrowd, plantEntries, round, takeBacklogs, UNWANTED } from './backlog-acting.ts';
import type { Rule } from './types.ts';

const TAKE = 'ledger.take(text,integer,integer)';
const HANDED = 'ledger.handed_position(text,text)';
const ONE = 'prove_one';
const OTHER = 'prove_other';

const rule = (about: string, title: string, check: Rule['check']): Rule => ({
  about,
  family: 'state',
  title,
  login: 'rowhouse_migrator',
  check,
});

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, nth) => from + nth);

/** Tenants that are set aside, so that nobody of their slot waits for them. */
export const backlogRules: Rule[] = [
  rule(TAKE, 'who has more than a batch is set aside, keeps their order, and nobody waits for them', async (acting) => {
    const { same } = acting;
    const crowd = await makeCrowd(acting, ONE, OTHER);
    const inRound = async (consumer: string, given: object, hasBacklogs: boolean) =>
      same(await round(acting, crowd, consumer), { given, hasBacklogs }, `what a round gives ${consumer}`);
    const beside = async (consumer: string, given: object) =>
      same(await takeBacklogs(acting, crowd, consumer), given, `what ${consumer} is given of backlogs`);

    await plantEntries(acting, crowd.large, 1, 15);
    await plantEntries(acting, crowd.large, 1, 30, UNWANTED);
    await plantEntries(acting, crowd.large, 16, 20);
    await plantEntries(acting, crowd.elsewhere, 1, 25);
    await plantEntries(acting, crowd.small, 1);
    for (const consumer of [ONE, OTHER]) await inRound(consumer, { small: [1] }, true);
    for (const consumer of [ONE, OTHER]) await beside(consumer, { large: numbers(1, 10), elsewhere: numbers(1, 10) });
    await plantEntries(acting, crowd.small, 2);
    await beside(ONE, { large: numbers(11, 20), elsewhere: numbers(11, 20) });
    for (const consumer of [OTHER, ONE]) await inRound(consumer, { small: [2] }, true);
    // Not before a round has found out that no writer is below them.
    await plantEntries(acting, crowd.large, 21, 30);
    await plantEntries(acting, crowd.elsewhere, 26, 35);
    await beside(ONE, { elsewhere: numbers(21, 25) });
    await beside(OTHER, { large: numbers(11, 20), elsewhere: numbers(11, 20) });
    await inRound(ONE, { large: numbers(21, 30), elsewhere: numbers(26, 35) }, false);
    await inRound(OTHER, { large: numbers(21, 30) }, true);
    await beside(ONE, {});
    await beside(OTHER, { elsewhere: numbers(21, 30) });
    await beside(OTHER, { elsewhere: numbers(31, 35) });
    await beside(OTHER, {});
  }),
  rule(TAKE, 'nobody is set aside for little, for what they had before, or for what is not wanted', async (acting) => {
    const { same } = acting;
    const crowd = await makeCrowd(acting, ONE);
    const inRound = async (given: object, hasBacklogs: boolean) =>
      same(await round(acting, crowd, ONE), { given, hasBacklogs }, 'what a round gives');
    const batch = numbers(1, MAX_ENTRIES);

    await plantEntries(acting, crowd.large, 1, 30, UNWANTED);
    for (const tenant of [crowd.large, crowd.elsewhere]) await plantEntries(acting, tenant, 1, MAX_ENTRIES);
    await inRound({ large: batch, elsewhere: batch }, false);
    await plantEntries(acting, crowd.small, 1, MAX_ENTRIES);
    await inRound({ small: batch }, false);
    // A fifth of a batch, beside somebody's two; and half a one in a slot that has no more.
    await plantEntries(acting, crowd.large, 11, 30);
    await plantEntries(acting, crowd.small, 1, 30, UNWANTED);
    await plantEntries(acting, crowd.small, 11, 12);
    await plantEntries(acting, crowd.elsewhere, 11, 15);
    await inRound({ small: [11, 12], elsewhere: numbers(11, 15) }, true);
    // Beside somebody who is set aside already.
    await plantEntries(acting, crowd.large, 31, 40);
    await plantEntries(acting, crowd.small, 13, 25);
    await inRound({}, true);
    same(
      await takeBacklogs(acting, crowd, ONE),
      { large: numbers(11, 20), small: numbers(13, 22) },
      'what is given of backlogs',
    );
  }),
  rule(HANDED, 'how far a tenant is with a consumer is said of that tenant and that consumer', async (acting) => {
    const { ok, same } = acting;
    const { large, small, elsewhere } = await makeCrowd(acting, ONE, OTHER);
    await ok(
      `insert into ledger.backlogs (tenant_id, consumer, slot, position)
       select tenant, consumer, ledger.slot(tenant), position from unnest($1::text[], $2::text[], '{-9,-8,-7}'::bigint[]) as b (tenant, consumer, position)`,
      [
        [large, small, large],
        [ONE, ONE, OTHER],
      ],
    );
    const handed = (consumer: string, tenant: string, as: string) =>
      ok(`select ledger.handed_position($1, $2)${as}`, [consumer, tenant]);
    for (const [consumer, tenant, position] of [
      [ONE, large, -9],
      [ONE, small, -8],
      [OTHER, large, -7],
    ] as const)
      same(
        await handed(consumer, tenant, '::integer as at'),
        [{ at: position }],
        `where ${tenant} is with ${consumer}`,
      );
    same(
      await handed(ONE, elsewhere, ' >= 0 as goes'),
      [{ goes: true }],
      'whether who is not set aside goes with the slot',
    );
  }),
];
