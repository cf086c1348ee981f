/** A piece of SQL or PL/pgSQL with its place in the text. Comments and white space are left out. */
export interface Token {
  /** In lower case, unless it is quoted. */
  text: string;
  kind: 'word' | 'string' | 'number' | 'symbol';
  start: number;
  end: number;
  /** How many parentheses, brackets and CASEs are open around it. */
  depth: number;
}

export interface Span {
  start: number;
  end: number;
}

const PATTERN =
  /--[^\n]*|\/\*[\s\S]*?\*\/|\s+|(?<string>[eE]?'(?:''|\\'|[^'])*'|\$(\w*)\$[\s\S]*?\$\2\$)|(?<word>"(?:""|[^"])*"|[A-Za-z_][\w$]*)|(?<number>\d[\d.]*)|(?<symbol>::|:=|->>|->|#>>|#>|<>|<=|>=|!~\*?|~\*|\|\||\.\.|.)/gs;

/** Splits SQL into tokens: strings, dollar quotes and quoted names are one each. */
export function tokenize(sql: string): Token[] {
  const tokens: Token[] = [];
  let depth = 0;
  for (const match of sql.matchAll(PATTERN)) {
    const { string, word, number, symbol } = match.groups ?? {};
    const text = string ?? number ?? symbol ?? (word?.startsWith('"') ? word : word?.toLowerCase());
    if (text === undefined) continue;
    const kind =
      string !== undefined ? 'string' : word !== undefined ? 'word' : number !== undefined ? 'number' : 'symbol';
    // `end case` and `end if` of PL/pgSQL close no expression: only `case` inside of one is counted, up to its `end`.
    if (text === ')' || text === ']' || (text === 'end' && cases(tokens) > 0)) depth--;
    tokens.push({ text, kind, start: match.index, end: match.index + match[0].length, depth });
    if (text === '(' || text === '[' || (text === 'case' && tokens.at(-2)?.text !== 'end')) depth++;
  }
  return tokens;
}

/** CASEs that are open at the end of the list. */
function cases(tokens: readonly Token[]): number {
  let open = 0;
  for (const [nth, { text }] of tokens.entries()) {
    if (text === 'case' && tokens[nth - 1]?.text !== 'end') open++;
    else if (text === 'end' && open > 0) open--;
  }
  return open;
}

/** Without the parentheses that enclose all of it. */
function bare(tokens: readonly Token[]): readonly Token[] {
  let inner = tokens;
  while (inner.length > 2 && inner[0]?.text === '(' && inner.at(-1)?.text === ')') {
    const outside = inner[0].depth;
    if (inner.slice(1, -1).some(({ depth }) => depth <= outside)) break;
    inner = inner.slice(1, -1);
  }
  return inner;
}

export function spanOf(tokens: readonly Token[]): Span {
  return { start: tokens[0]?.start ?? 0, end: tokens.at(-1)?.end ?? 0 };
}

/** The operands of a chain of `and` or `or`; one list where there is no such chain. BETWEEN's `and` is none. */
export function operands(tokens: readonly Token[], operator: 'and' | 'or'): (readonly Token[])[] {
  const inner = bare(tokens);
  const level = Math.min(...inner.map(({ depth }) => depth));
  const parts: Token[][] = [[]];
  let between = false;
  for (const token of inner) {
    if (token.depth === level && token.text === 'between') between = true;
    if (token.depth === level && token.text === operator && !(operator === 'and' && between)) parts.push([]);
    else parts.at(-1)?.push(token);
    if (token.depth === level && token.text === 'and') between = false;
  }
  return parts.filter((part) => part.length > 0);
}

/** Tokens from an index on, up to one of the words at the same depth, or to where the depth ends. */
export function upTo(tokens: readonly Token[], from: number, ends: ReadonlySet<string>): readonly Token[] {
  const level = tokens[from]?.depth ?? 0;
  let to = from;
  while (to < tokens.length) {
    const token = tokens[to] as Token;
    if (token.depth < level || (token.depth === level && (ends.has(token.text) || token.text === ';'))) break;
    to++;
  }
  return tokens.slice(from, to);
}

export function replaced(sql: string, { start, end }: Span, by: string): string {
  return sql.slice(0, start) + by + sql.slice(end);
}
