import { RowhouseError } from '../errors.ts';

/** The first minor of each major in which a hole that matters here was closed. */
const HOLES: readonly { cve: string; fixed: Readonly<Record<number, number>> }[] = [
  { cve: 'CVE-2024-10976', fixed: { 12: 21, 13: 17, 14: 14, 15: 9, 16: 5, 17: 1 } },
  { cve: 'CVE-2025-8713', fixed: { 13: 22, 14: 19, 15: 14, 16: 10, 17: 6 } },
  { cve: 'CVE-2026-2005', fixed: { 14: 21, 15: 16, 16: 12, 17: 8, 18: 2 } },
];
const OLDEST_SUPPORTED_MAJOR = 14;

/**
 * Refuses a server whose row-level security or pgcrypto has a known hole; their fixes are listed at
 * https://www.postgresql.org/support/security/.
 * @param serverVersionNum `server_version_num`, such as 170005 for 17.5
 * @throws RowhouseError server_version_unsafe naming the holes and the version to install
 */
export function refuseKnownHoles(serverVersionNum: number): void {
  const major = Math.floor(serverVersionNum / 10_000);
  const minor = serverVersionNum % 10_000;
  if (major < OLDEST_SUPPORTED_MAJOR) {
    throw new RowhouseError('server_version_unsafe', {
      detail: `PostgreSQL ${major}.${minor} gets no security fixes any more.`,
      hint: 'Install the newest minor version of PostgreSQL 18.',
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
