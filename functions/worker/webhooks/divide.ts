/** Writes of many tenants in one statement: what one of them cannot have written must not keep back the others'. */

export type Refusal = 'locked' | 'content' | 'passing';

/** Data exceptions, violated constraints, exceeded limits: the same again, however often it is tried. */
const CONTENT = /^(22|23|54)...$/;
const LOCKED = new Set(['55P03', '40P01', '40001']);

/** Whether it is the content that was refused, a lock that was in the way, or (passing) neither: the connection, the server. */
export function refusalOf(error: unknown): Refusal {
  const code = String((error as { code?: unknown }).code ?? '');
  if (LOCKED.has(code)) return 'locked';
  return CONTENT.test(code) ? 'content' : 'passing';
}

/**
 * Writes items together; where that is refused each tenant's apart, and those by halves, in their order.
 * @param written is called for what was
 * @param refused is called for the one item whose content is refused
 * @returns tenants whose items are locked: none of those that are left was written
 * @throws what `write` throws that is neither: what was called written is
 */
export async function writeApart<Item>(
  items: Item[],
  tenantOf: (item: Item) => string,
  write: (items: Item[]) => Promise<void>,
  { written, refused }: { written: (items: Item[]) => void; refused: (item: Item, error: Error) => Promise<void> },
): Promise<Set<string>> {
  try {
    await write(items);
    written(items);
    return new Set();
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === 'passing') throw error;
    const tenants = Map.groupBy(items, tenantOf);
    if (tenants.size === 1 && refusal === 'locked') return new Set(tenants.keys());
    const [only] = items;
    if (items.length === 1 && only !== undefined) {
      await refused(only, error as Error);
      written(items);
      return new Set();
    }
    const middle = Math.ceil(items.length / 2);
    const parts = tenants.size > 1 ? [...tenants.values()] : [items.slice(0, middle), items.slice(middle)];
    const locked = new Set<string>();
    for (const part of parts) {
      // The order of a tenant's items: nothing of it after what is locked.
      if (part.some((item) => locked.has(tenantOf(item)))) continue;
      for (const tenant of await writeApart(part, tenantOf, write, { written, refused })) locked.add(tenant);
    }
    return locked;
  }
}
