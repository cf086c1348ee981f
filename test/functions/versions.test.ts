import { describe, expect, test } from 'vitest';
import { RowhouseError } from '../../functions/errors.ts';
import { refuseKnownHoles } from '../../functions/versions.ts';

function refusal(version: number): RowhouseError {
  try {
    refuseKnownHoles(version);
  } catch (error) {
    if (error instanceof RowhouseError) return error;
    throw error;
  }
  throw new Error(`${version} was accepted`);
}

describe('refuseKnownHoles', () => {
  test.each([
    [180000, '18.0'],
    [180001, '18.1'],
  ])('refuses %i, and names the hole and the version to install', (version, name) => {
    expect(refusal(version)).toMatchObject({
      code: 'server_version_unsafe',
      status: 500,
      detail: `PostgreSQL ${name} is open to CVE-2026-2005, CVE-2026-2006.`,
      hint: 'Install PostgreSQL 18.2 or newer.',
    });
  });

  test.each([130023, 160012, 170008])('refuses %i, which lacks what the schema needs', (version) => {
    expect(refusal(version)).toMatchObject({
      code: 'server_version_unsafe',
      detail: expect.stringContaining('has no uuidv7()'),
      hint: 'Install the newest minor version of PostgreSQL 18.',
    });
  });

  test.each([180002, 180004, 190000])('accepts %i', (version) => {
    expect(refuseKnownHoles(version)).toBeUndefined();
  });
});
