import { RowhouseError } from '../errors.ts';
import { PREAMBLE } from '../migrate/compose.ts';
import { newMigration } from '../migrate/new.ts';
import type { Finding } from './finding.ts';

export interface WrittenFix {
  /** The migration, in db/migrations. */
  file: string;
  fixed: Finding[];
  /** What a superuser has to run, or a person to decide. */
  left: Finding[];
}

/** An identity line of db/migrations: statements that belong to no object of the book. */
const heading = ({ lint, object }: Finding) => `--@ run doctor ${lint} ${object.replaceAll(/\s+/g, ' ')}`;

/** The remedies as the up half; taking them back would open the wall again, which the down half says instead. */
function compose(findings: Finding[]): string {
  const up = findings.map((finding) => `${heading(finding)}\n${finding.remedy}`);
  const down = findings.map(
    ({ remedy }) => `-- Not taken back, it would open a door: ${remedy.replaceAll(/\s+/g, ' ')}`,
  );
  return ['-- migrate:up', PREAMBLE, '', up.join('\n\n'), '', '-- migrate:down', PREAMBLE, '', ...down, ''].join('\n');
}

/**
 * Writes a migration of every remedy that the owner can run without deciding anything. The database is not touched.
 * @param dir where migrations are: default db/migrations
 * @throws RowhouseError usage_invalid where there is no such remedy
 */
export async function writeFix(findings: Finding[], dir?: string): Promise<WrittenFix> {
  const fixed = findings.filter(({ fix, remedy }) => fix === 'migration' && remedy !== '');
  const left = findings.filter((finding) => !fixed.includes(finding));
  if (fixed.length === 0) {
    throw new RowhouseError('usage_invalid', {
      detail: left.length > 0 ? 'no remedy of these findings fits into a migration' : 'there is nothing to fix',
      ...(left.length > 0 ? { hint: 'Run them as a superuser or by hand: rowhouse doctor prints them.' } : {}),
    });
  }
  const [written] = await newMigration('doctor fix', { source: compose(fixed), ...(dir ? { dir } : {}) });
  return { file: written?.file ?? '', fixed, left };
}
