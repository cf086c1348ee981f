import { type Catalogue, databaseRole } from './catalogue.ts';
import type { HttpClient } from './client.ts';
import type { Finding, Role } from './types.ts';

interface OpenApi {
  paths: Record<string, unknown>;
  definitions?: Record<string, { properties?: Record<string, unknown> }>;
}

/** As long as PostgREST may take to hear of a change of the schema. */
const RELOAD_MS = 3000;

/** What the API says that it serves, compared with what the catalogue grants. */
async function compare(client: HttpClient, catalogue: Catalogue, role: Role, token: string): Promise<Finding[]> {
  const findings: Finding[] = [];
  const databaseUser = databaseRole(role);
  for (const schema of catalogue.schemas) {
    const answer = await client.ask({ door: 'direct', method: 'GET', schema, path: '/', token });
    const served = answer.status === 200 ? (JSON.parse(answer.body) as OpenApi) : { paths: {} };
    const differs = (at: string, detail: string) =>
      findings.push({
        kind: 'mismatch',
        at,
        relation: at,
        detail,
        curl: client.curl({ door: 'direct', method: 'GET', schema, path: '/', token }),
      });
    const granted = new Map<string, string[]>();
    for (const relation of catalogue.relations.filter((candidate) => candidate.schema === schema)) {
      const grants = relation.grants[databaseUser];
      if (grants && (grants.select || grants.delete || grants.insert.length > 0 || grants.update.length > 0)) {
        granted.set(
          `/${relation.name}`,
          relation.columns.map(({ name }) => name),
        );
      }
    }
    for (const one of catalogue.functions.filter((candidate) => candidate.schema === schema))
      if (one.execute[databaseUser]) granted.set(`/rpc/${one.name}`, []);
    for (const path of Object.keys(served.paths)) {
      if (path !== '/' && !granted.has(path))
        differs(
          `${schema}${path.replace('/', '.')}`,
          `the API serves it to ${role}, and the catalogue does not grant it`,
        );
    }
    for (const [path, columns] of granted) {
      const name = `${schema}${path.replace('/', '.')}`;
      if (!Object.hasOwn(served.paths, path))
        differs(name, `the catalogue grants it to ${role}, and the API does not serve it`);
      const shown = Object.keys(served.definitions?.[path.slice(1)]?.properties ?? {});
      if (!path.startsWith('/rpc/') && shown.length > 0 && shown.toSorted().join() !== columns.toSorted().join()) {
        differs(name, `the API shows ${role} the columns ${shown.join(', ')}; it has ${columns.join(', ')}`);
      }
    }
  }
  return findings;
}

/** Mismatches between PostgREST's schema cache and the catalogue; a cache that is about to be reloaded is waited for. */
export async function compareSurface(client: HttpClient, catalogue: Catalogue): Promise<Finding[]> {
  const deadline = Date.now() + RELOAD_MS;
  for (;;) {
    const findings = [
      ...(await compare(client, catalogue, 'owner', 'A_owner')),
      ...(await compare(client, catalogue, 'operator', 'operator')),
    ];
    if (findings.length === 0 || Date.now() > deadline) return findings;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
