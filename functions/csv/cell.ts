import type { Column } from './columns.ts';
import type { Problem } from './findings.ts';
import { compilePattern } from './pattern.ts';
import { CANONICAL, repairFor } from './repair.ts';
import type { DateOrder } from './repair-date.ts';
import { TYPE_NOUNS, TYPE_PARSERS } from './types.ts';

/** Checks one cell, adds what is wrong to `problems`, and returns the cell as it should be (the same, if right). */
export type CellCheck = (cell: string, problems: Problem[]) => string;

export interface CellOptions {
  repair: boolean;
  dateOrder: DateOrder | undefined;
  /** How many values its pattern may remember. */
  cachedValues: number;
}

/** Longer cells are not repaired: nothing that can be repaired is that long, and work on a cell stays bounded. */
const MAX_REPAIR_LENGTH = 100;

/** Compiles the rules of a column to one function, which allocates nothing for a cell that keeps them. */
export function compileCellCheck(column: Column, options: CellOptions): CellCheck {
  const { name, type, required, min, max } = column;
  const { repair, dateOrder, cachedValues } = options;
  const parse = TYPE_PARSERS[type];
  const fix = repair ? repairFor(type, dateOrder) : undefined;
  const canonical = repair ? CANONICAL[type] : undefined;
  const lowest = min === undefined ? -Infinity : bound(column, min);
  const highest = max === undefined ? Infinity : bound(column, max);
  const shortest = column.min_length ?? 0;
  const longest = column.max_length ?? Infinity;
  const matches = column.pattern === undefined ? undefined : compilePattern(column.pattern, cachedValues);
  const allowed = column.enum && new Set(column.enum);

  return (cell, problems) => {
    let text = cell;
    if (hasOuterSpace(cell)) {
      text = cell.trim();
      if (text.length < cell.length) problems.push(corrected('whitespace', SPACE, cell, repair ? text : undefined));
    }
    if (text.length === 0) {
      if (required) problems.push(wrong('required', 'empty', cell));
      return text;
    }
    let value = parse(text);
    if (Number.isNaN(value)) {
      const repaired = fix && text.length <= MAX_REPAIR_LENGTH ? fix(text) : undefined;
      if (repaired === undefined) {
        problems.push(wrong('type', `not ${TYPE_NOUNS[type]}`, text));
        return text;
      }
      problems.push({ ...corrected('type', `not ${TYPE_NOUNS[type]}`, text, repaired), correction: type });
      text = repaired;
      value = parse(text);
    }
    if (canonical) {
      const repaired = canonical(text);
      if (repaired !== text) problems.push(corrected('letter_case', LETTER_CASE, text, repaired));
      text = repaired;
    }
    if (value < lowest) problems.push(wrong('min', `below the minimum of ${min}`, text));
    if (value > highest) problems.push(wrong('max', `above the maximum of ${max}`, text));
    if (text.length > longest || text.length < shortest * 2) checkLength(text, problems);
    if (matches && !matches(text)) problems.push(wrong('pattern', `does not match ${column.pattern}`, text));
    if (allowed && !allowed.has(text)) problems.push(wrong('enum', `not one of ${shown(column.enum ?? [])}`, text));
    return text;
  };

  /** Counts code points; only cells whose UTF-16 units leave it open come here. */
  function checkLength(text: string, problems: Problem[]): void {
    let length = text.length;
    for (const character of text) length -= character.length - 1;
    if (length < shortest) problems.push(wrong('min_length', `shorter than ${shortest} characters`, text));
    if (length > longest) problems.push(wrong('max_length', `longer than ${longest} characters`, text));
  }

  function wrong(rule: string, message: string, value: string): Problem {
    return { rule, severity: 'error', message, column: name, value };
  }

  function corrected(rule: string, message: string, value: string, repaired: string | undefined): Problem {
    return { rule, severity: 'warning', message, column: name, value, repaired, correction: rule };
  }
}

const SPACE = 'white space at the start or end';
const LETTER_CASE = 'valid, but usually in lower case';

/** Almost no cell has outer space, and most are ASCII: two character codes decide without a call of trim(). */
function hasOuterSpace(cell: string): boolean {
  return maybeSpace(cell.charCodeAt(0)) || maybeSpace(cell.charCodeAt(cell.length - 1));
}

const maybeSpace = (code: number) => code <= 32 || code >= 160;

/** Bounds were checked with the column's type, so the type's parser reads those that are text. */
function bound(column: Column, value: number | string): number {
  return typeof value === 'number' ? value : TYPE_PARSERS[column.type](value);
}

function shown(values: readonly string[]): string {
  return values.length > 5 ? `${values.slice(0, 5).join(', ')} …` : values.join(', ');
}
