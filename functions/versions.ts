import type { ClientBase } from 'pg';
import { RowhouseError } from './errors.ts';

/**
 * The first minor of each major in which a hole that matters here was closed, from
 * https://www.postgresql.org/support/security/. Majors below 18 are for the doctor, which looks at servers before they are moved.
 */
export const HOLES: readonly { cve: string; fixed: Readonly<Record<number, number>> }[] = [
  { cve: 'CVE-2024-4317', fixed: { 16: 3 } },
  { cve: 'CVE-2024-10976', fixed: { 16: 5, 17: 1 } },
  { cve: 'CVE-2025-8713', fixed: { 16: 10, 17: 6 } },
  { cve: 'CVE-2026-2005', fixed: { 16: 12, 17: 8, 18: 2 } },
  { cve: 'CVE-2026-2006', fixed: { 16: 12, 17: 8, 18: 2 } },
];

/** The first with uuidv7(), which the schema's keys default to. */
const OLDEST_MAJOR = 18;

/**
 * Refuses a version that the schema cannot run on, or whose row-level security or pgcrypto has a known hole.
 * @param serverVersionNum `server_version_num`, such as 180005 for 18.5
 * @throws RowhouseError server_version_unsafe naming the holes and the version to install
 */
export function refuseKnownHoles(serverVersionNum: number): void {
  const major = Math.floor(serverVersionNum / 10_000);
  const minor = serverVersionNum % 10_000;
  if (major < OLDEST_MAJOR) {
    throw new RowhouseError('server_version_unsafe', {
      detail: `PostgreSQL ${major}.${minor} has no uuidv7(), which the schema needs.`,
      hint: `Install the newest minor version of PostgreSQL ${OLDEST_MAJOR}.`,
    });
  }
  const open = HOLES.filter(({ fixed }) => minor < (fixed[major] ?? 0));
  if (open.length === 0) return;
  const needed = Math.max(...open.map(({ fixed }) => fixed[major] ?? 0));
  throw new RowhouseError('server_version_unsafe', {
    detail: `PostgreSQL ${major}.${minor} is open to ${open.map(({ cve }) => cve).join(', ')}.`,
    hint: `Install PostgreSQL ${major}.${needed} or newer.`,
  });
}

/**
 * Asks the server for its version and refuses it as `refuseKnownHoles` does.
 * @throws RowhouseError server_version_unsafe
 */
export async function checkServerVersion(client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ server_version_num: string }>('show server_version_num');
  refuseKnownHoles(Number(rows[0]?.server_version_num));
}
