const QUOTED = /'(?:[^']|'')*'|"(?:[^"]|"")*"/g;

/** Quoted text blanked in place, so that what stands in it is no operator and no parenthesis. */
const bare = (expression: string) => expression.replaceAll(QUOTED, (text) => '_'.repeat(text.length));

/** Where ` AND ` and ` OR ` stand outside of parentheses, and whether one pair encloses the whole. */
function outline(expression: string): { ands: number[]; or: boolean; enclosed: boolean } {
  const text = bare(expression);
  const ands: number[] = [];
  let or = false;
  let enclosed = text.startsWith('(');
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    if (text[index] === '(') depth += 1;
    else if (text[index] === ')') depth -= 1;
    if (depth > 0) continue;
    if (index < text.length - 1) enclosed = false;
    if (text.startsWith(' AND ', index)) ands.push(index);
    else if (text.startsWith(' OR ', index)) or = true;
  }
  return { ands, or, enclosed };
}

/** The parts of an expression that all have to hold; the whole where it is no conjunction. */
function conjuncts(expression: string): string[] {
  const { ands, or, enclosed } = outline(expression);
  if (enclosed) return conjuncts(expression.slice(1, -1));
  if (or || ands.length === 0) return [expression];
  const starts = [0, ...ands.map((index) => index + ' AND '.length)];
  return starts.flatMap((start, index) => conjuncts(expression.slice(start, ands[index])));
}

/**
 * Whether a condition can only hold for rows of the sealed tenant, or for the sealed operator.
 * @param expression as pg_get_expr() prints it
 * @param table where it stands: the directory of tenants is keyed by `id`
 */
export function isTied(expression: string, table: string): boolean {
  const column = table === 'tenancy.tenants' ? 'id' : 'tenant_id';
  // Called as it is, or once in a sub-select.
  const accessor = (name: string) => String.raw`(?:request\.${name}\(\)|\( SELECT request\.${name}\(\)(?: AS \w+)?\))`;
  const tie = new RegExp(
    String.raw`^(?:\(?${column}\)?(?:::text)? = ${accessor('tenant_id')}|${accessor('role')} = 'operator'::text)$`,
  );
  return conjuncts(expression).some((part) => tie.test(part));
}
