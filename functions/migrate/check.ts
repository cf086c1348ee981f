import { RowhouseError } from '../errors.ts';
import { HAND_MARKER } from './compose.ts';
import { type MigrationFile, migrationsDir, readMigrations } from './files.ts';
import { frozenProblems } from './freeze.ts';
import { splitStatements } from './statements.ts';

function isTimestamp(version: string): boolean {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(version) ?? [];
  return year !== undefined && !Number.isNaN(Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`));
}

function halfProblems(file: string, half: 'up' | 'down', sql: string, inTransaction: boolean): string[] {
  const statements = splitStatements(sql);
  const marker = sql.split('\n').find((line) => line.startsWith(HAND_MARKER));
  if (marker) return [`${file}: ${half} waits for a person: ${marker.slice(HAND_MARKER.length).trim()}`];
  // dbmate sends the half as one message, which is itself a transaction if it holds two statements.
  if (!inTransaction)
    return statements.length === 1 ? [] : [`${file}: ${half} has transaction:false, so it holds exactly one statement`];
  const effective = statements.filter((statement) => !/^set local /i.test(statement));
  return [
    ...(effective.length === 0 && !/^--.*\S/m.test(sql)
      ? [`${file}: ${half} does nothing and has no comment saying why`]
      : []),
    ...(/^set local lock_timeout/im.test(sql)
      ? []
      : [`${file}: ${half} does not start with "set local lock_timeout = '3s';"`]),
  ];
}

/**
 * What is wrong with the migrations, before any of them runs: names, duplicate versions, hand markers, halves that do nothing
 * or wait for locks without end, and changes of frozen files.
 */
export function migrationProblems(migrations: MigrationFile[]): string[] {
  const problems: string[] = [];
  const versions = new Map<string, string>();
  for (const { file, version, up, down, upInTransaction, downInTransaction } of migrations) {
    if (!/^\d{14}_[a-z0-9_]+\.sql$/.test(file) || !isTimestamp(version)) {
      problems.push(`${file}: the name is not YYYYMMDDHHMMSS_name.sql`);
    }
    const twin = versions.get(version);
    if (twin) problems.push(`${file}: has the version of ${twin}`);
    versions.set(version, file);
    problems.push(
      ...halfProblems(file, 'up', up, upInTransaction),
      ...halfProblems(file, 'down', down, downInTransaction),
    );
  }
  return problems;
}

/**
 * Checks the migration files without a database.
 * @returns the names of the files, in order.
 * @throws RowhouseError migration_invalid listing every problem found.
 */
export async function checkMigrations(dir: string = migrationsDir): Promise<string[]> {
  const migrations = await readMigrations(dir);
  const problems = [...migrationProblems(migrations), ...(await frozenProblems(dir))];
  if (problems.length > 0) {
    throw new RowhouseError('migration_invalid', {
      detail: problems.join('\n'),
      hint: 'Nothing was run. Put statements in place of hand markers; undo changes of frozen files and write a new migration.',
    });
  }
  return migrations.map(({ file }) => file);
}
