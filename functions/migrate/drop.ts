import type { BookObject } from './book.ts';
import { splitStatements } from './statements.ts';

const CREATED =
  /^create (?:or replace |unlogged )?(table|view|function|sequence|type|domain) ((?:"(?:[^"]|"")+"|[\w.])+)/i;

/** What one statement of a table's text makes that would outlive the table, as it stands after `drop`. */
function madeBeside(statement: string, object: BookObject): string | undefined {
  const [, kind, name] = CREATED.exec(statement) ?? [];
  if (kind && name) return `${kind.toLowerCase()} ${name}`;
  // tenancy.protect() makes the view of the table.
  if (/^select tenancy\.protect\(.*\bexpose => true\b/i.test(statement))
    return `view v1.${object.identity.split('.')[1]}`;
  return undefined;
}

/** The statements that drop an object, and with a table what else its text made, last first. */
export function dropStatements(object: BookObject): string {
  const { kind, identity } = object;
  if (kind === 'policy') {
    return `-- ACCESS EXCLUSIVE on ${identity.replace(/^.* on /, '')} until commit.\ndrop policy ${identity};`;
  }
  if (kind !== 'table') return `drop ${kind} ${identity};`;
  const made = splitStatements(object.text).map((statement) => madeBeside(statement, object));
  const names = made.filter((name) => name !== undefined).reverse();
  return names.map((name) => `drop ${name};`).join('\n');
}
