import type { Bench } from '../report.ts';
import { withStack } from '../stack.ts';
import { openPostgrest } from '../wall/postgrest.ts';
import { collectStatements, type Statement, sampleOf } from './collect.ts';
import { fillSkewed, type SkewedTenant } from './data.ts';
import { compare } from './measure.ts';
import { openRecorder } from './recorder.ts';
import { report } from './report.ts';

const bench: Bench = ({ quick, progress }) =>
  withStack(progress, async (stack) => {
    const largest = quick ? 50_000 : 200_000;
    progress(`tenants of 1, 1,000 and ${largest.toLocaleString('en')} rows, among 300 others`);
    const tenants = await fillSkewed(stack.admin, largest);
    progress('what PostgREST makes of every request of the API');
    const recorder = await openRecorder(stack.info.database.authenticator);
    const statements = new Map<SkewedTenant, Statement[]>();
    try {
      const through = { schemas: [], gated: true, databaseUrl: recorder.url, poolSize: 1 };
      const postgrest = await openPostgrest(stack, { name: 'recorded', ...through });
      try {
        for (const tenant of tenants) {
          const sample = await sampleOf(stack.admin, tenant.id);
          statements.set(tenant, await collectStatements(postgrest, recorder, tenant.token, sample));
        }
      } finally {
        await postgrest.stop();
      }
    } finally {
      await recorder.close();
    }
    const adminUrl = stack.info.database.admin;
    return report(await compare({ adminUrl, tenants, statements, times: quick ? 3 : 9, progress }));
  });

export default bench;
