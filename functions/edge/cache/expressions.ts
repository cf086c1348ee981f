/** What an expression of PostgreSQL, as the parser left it (pg_node_tree), rests on. */
export interface Expression {
  relations: readonly number[];
  functions: readonly number[];
  /** Types that text is read into: for dates, `now` and `today` are text. */
  readInto: readonly number[];
  /** It cannot be known from catalogues what it gives: the time, the user, a sample. */
  unsteady: boolean;
}

const RELATION = / :relid (\d+)/g;
const FUNCTION = / :(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)/g;
const RESULT_TYPE = / :resulttype (\d+)/g;
const UNSTEADY = /\{(?:SQLVALUEFUNCTION|TABLESAMPLECLAUSE|NEXTVALUEEXPR|CURRENTOFEXPR|TABLEFUNC) /;

const numbers = (text: string, pattern: RegExp): number[] => [
  ...new Set([...text.matchAll(pattern)].map(([, oid]) => Number(oid))),
];

/** Finds too much rather than too little: constants and names in the text cannot hide a node, only look like one more. */
export function readExpression(tree: string): Expression {
  return {
    relations: numbers(tree, RELATION),
    functions: numbers(tree, FUNCTION),
    readInto: typesRead(tree),
    unsteady: UNSTEADY.test(tree),
  };
}

/** Result types follow their node's argument, which may hold such nodes itself: every one after the first node counts. */
function typesRead(tree: string): number[] {
  const first = tree.indexOf('{COERCEVIAIO ');
  return first < 0 ? [] : numbers(tree.slice(first), RESULT_TYPE);
}
