import type { Catalogue, Relation, Table } from '../catalogue.ts';
import { referencesOf } from './references.ts';

/** Tables that the relations need, parents before their children. A reference to itself does not count. */
export function fillOrder(catalogue: Catalogue, relations: readonly Relation[]): Table[] {
  const ordered: Table[] = [];
  const begun = new Set<string>();
  const visit = (name: string): void => {
    const table = catalogue.tables.get(name);
    if (!table || begun.has(name)) return;
    begun.add(name);
    for (const { references } of referencesOf(table)) visit(references);
    ordered.push(table);
  };
  for (const name of relations.flatMap(({ bases }) => bases).toSorted()) visit(name);
  return ordered;
}

/** The directory itself: its rows are the tenants. */
export function isDirectory(table: Table): boolean {
  const key = table.keys.find(({ primary }) => primary)?.columns ?? [];
  return table.tenantColumn !== null && key.length === 1 && key[0] === table.tenantColumn;
}
