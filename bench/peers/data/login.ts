import type { Pool } from '../../../functions/database.ts';

/** Makes a login role. @returns its URL */
export async function createLogin(admin: Pool, adminUrl: string, name: string, attributes = ''): Promise<string> {
  const url = new URL(adminUrl);
  const password = crypto.randomUUID().replaceAll('-', '');
  await admin.query(`create role ${name} login noinherit ${attributes} password '${password}';
    grant connect on database ${url.pathname.slice(1)} to ${name}`);
  url.username = name;
  url.password = password;
  return url.href;
}
