import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Client } from 'pg';
import { connected } from '../database.ts';
import { RowhouseError } from '../errors.ts';
import { packageRoot } from '../paths.ts';
import { checkServerVersion } from '../versions.ts';
import { LOGIN_ROLES, type Passwords } from './secrets.ts';

export const DATABASE = 'rowhouse';
/** What the comment of a database says that may be written to by a prover: the embedded one, and those of tests. */
export const DISPOSABLE = 'rowhouse: disposable';

/**
 * The cluster level: db/roles.sql, and the passwords of the login roles. Safe to repeat.
 * @param adminUrl of the superuser, any database
 * @throws RowhouseError server_version_unsafe before anything is changed
 */
export async function installRoles(adminUrl: string, passwords: Passwords): Promise<void> {
  await connected(adminUrl, async (client) => {
    await checkServerVersion(client);
    await runFile(client, 'db/roles.sql');
    for (const role of LOGIN_ROLES) {
      await client.query(`alter role ${role} password ${client.escapeLiteral(passwords[role])}`);
    }
  });
}

/**
 * Creates the database unless it exists.
 * @param template a database to copy; db/database.sql still has to be run, since a copy has no privileges of its own
 */
export async function createDatabase(adminUrl: string, name: string, template?: string): Promise<void> {
  await connected(adminUrl, async (client) => {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [name]);
    if (rowCount) return;
    const copy = template ? ` template ${client.escapeIdentifier(template)} strategy file_copy` : '';
    await client.query(`create database ${client.escapeIdentifier(name)}${copy}`);
  });
}

/** The database level: db/database.sql, and the mark that lets `rowhouse prove` work in it. Safe to repeat. */
export async function prepareDatabase(adminUrl: string): Promise<void> {
  await connected(adminUrl, async (client) => {
    await runFile(client, 'db/database.sql');
    const name = client.escapeIdentifier(client.database ?? DATABASE);
    await client.query(`comment on database ${name} is ${client.escapeLiteral(DISPOSABLE)}`);
  });
}

/**
 * Adds the demo tenants of db/seed.sql to a database without tenants.
 * @returns whether it did
 */
export async function seedDemoTenants(migratorUrl: string): Promise<boolean> {
  return connected(migratorUrl, async (client) => {
    const { rowCount } = await client.query('select from tenancy.tenants limit 1');
    if (rowCount) return false;
    await runFile(client, 'db/seed.sql');
    return true;
  });
}

async function runFile(client: Client, file: string): Promise<void> {
  try {
    await client.query(readFileSync(path.join(packageRoot, file), 'utf8'));
  } catch (error) {
    throw new RowhouseError('stack_failed', {
      detail: `${file}: ${(error as Error).message}`,
      hint: 'The PostgreSQL log in the logs folder of the state directory has the statement.',
      cause: error,
    });
  }
}
