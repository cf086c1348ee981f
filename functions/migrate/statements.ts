/** Strings, comments and bodies are one token each, so that a semicolon inside them ends nothing. */
const TOKENS =
  /[eE]'(?:[^'\\]|\\[\s\S]|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[\s\S]*?\*\/|\$([a-z_]\w*)?\$[\s\S]*?\$\1\$|[a-z_][a-z0-9_$]*|;|[\s\S]/gi;

/** Cuts SQL text into its statements: comments removed, outer white space collapsed, no final semicolon. */
export function splitStatements(sql: string): string[] {
  const statements: string[] = [];
  let current = '';
  let before = '';
  // Depth of `begin atomic … end` and the `case … end` inside it.
  let depth = 0;
  for (const [token] of sql.matchAll(TOKENS)) {
    if (token.startsWith('--') || token.startsWith('/*')) continue;
    const word = token.toLowerCase();
    if ((before === 'begin' && word === 'atomic') || (depth > 0 && word === 'case')) depth += 1;
    else if (depth > 0 && word === 'end') depth -= 1;
    if (token === ';' && depth === 0) {
      statements.push(current.trim());
      current = '';
    } else if (/^\s$/.test(token)) {
      if (!current.endsWith(' ')) current += ' ';
    } else {
      current += token;
      before = word;
    }
  }
  statements.push(current.trim());
  return statements.filter((statement) => statement !== '');
}

/**
 * The statement that takes back what `statement` set: grants, default privileges, comments.
 * A plain `revoke` has none: nobody can say what was there before, and taking it back could open a door.
 * @returns undefined where there is none.
 */
export function undoStatement(statement: string): string | undefined {
  const defaults = /^(alter default privileges .*?)(grant|revoke) (.+) (?:to|from) (.+)$/i.exec(statement);
  if (defaults) {
    const [, prefix, verb, privileges, roles] = defaults;
    return verb?.toLowerCase() === 'grant'
      ? `${prefix}revoke ${privileges} from ${roles?.replace(/ with grant option$/i, '')};`
      : `${prefix}grant ${privileges} to ${roles};`;
  }
  const granted = /^grant (.+) to (.+?)(?: with grant option)?$/i.exec(statement);
  if (granted) return `revoke ${granted[1]} from ${granted[2]};`;
  const comment =
    /^(comment on (?:(?:policy|trigger|constraint) (?:"(?:[^"]|"")+"|\w+) on \S+|.+?)) is (?:e?'|\$)/i.exec(statement);
  if (comment) return `${comment[1]} is null;`;
  return undefined;
}

export interface Undo {
  /** What takes back the statements that are gone, last first. */
  undo: string[];
  /** Revokes that are gone, and stay in force. */
  kept: string[];
  /** Other statements that are gone: how to take them back is not known. */
  unknown: string[];
}

/** How to take back the statements of `from` that `to` no longer has. */
export function undoRemoved(from: string, to: string): Undo {
  const result: Undo = { undo: [], kept: [], unknown: [] };
  const staying = splitStatements(to);
  // A comment that is set anew needs no undoing first.
  const commented = new Set(staying.map(undoStatement).filter((statement) => statement?.startsWith('comment')));
  for (const statement of splitStatements(from).reverse()) {
    if (staying.includes(statement)) continue;
    const inverse = undoStatement(statement);
    if (inverse === undefined) (/^revoke /i.test(statement) ? result.kept : result.unknown).push(statement);
    else if (!commented.has(inverse)) result.undo.push(inverse);
  }
  return result;
}
