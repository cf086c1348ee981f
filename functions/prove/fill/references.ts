import type { ForeignKey, Table } from '../catalogue.ts';

/** The table's foreign keys, and what a column's comment says that it refers to without one: `@references schema.table.column`. */
export function referencesOf({ columns, foreignKeys }: Table): ForeignKey[] {
  const told = columns.flatMap(({ name, comment }): ForeignKey[] => {
    const [, references, referenced] = /@references\s+(\w+\.\w+)\.(\w+)/.exec(comment ?? '') ?? [];
    return references && referenced
      ? [{ name: `@references of ${name}`, columns: [name], references, referenced: [referenced] }]
      : [];
  });
  return [...foreignKeys, ...told];
}
