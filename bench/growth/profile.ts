import { openRecorder } from '../plans/recorder.ts';
import type { BenchStack } from '../stack.ts';
import { openPostgrest } from '../wall/postgrest.ts';
import { type Profile, profileOf } from '../wall/profile.ts';
import type { Side } from './sides.ts';

/** What PostgreSQL does for each side's statement, as PostgREST sends it, for the last tenant that is asked for. */
export async function profilesOf(stack: BenchStack, sides: readonly Side[]): Promise<Map<Side, Profile>> {
  const profiles = new Map<Side, Profile>();
  const recorder = await openRecorder(stack.info.database.authenticator);
  const postgrest = await openPostgrest(stack, {
    ...{ name: 'recorded', schemas: [], gated: true, databaseUrl: recorder.url, poolSize: 1 },
  });
  try {
    for (const side of sides) {
      const request = side.requests.at(-1) as Side['requests'][number];
      const tenant = side.tenants.at(-1) as Side['tenants'][number];
      recorder.take();
      await fetch(`${postgrest.origin}${request.path}`, { headers: request.headers }).then((answer) => answer.text());
      const recorded = recorder.take().find(({ text }) => text.startsWith('WITH pgrst_source'));
      if (!recorded) throw new Error(`PostgREST ran no statement for ${side.name}`);
      const { title, requests } = side;
      const shipped = { name: 'shipped', title, requests, gated: true, origin: postgrest.origin } as const;
      profiles.set(side, await profileOf(stack.admin, shipped, tenant, recorded));
    }
  } finally {
    await postgrest.stop();
    await recorder.close();
  }
  return profiles;
}
