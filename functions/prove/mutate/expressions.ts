import type { FunctionInfo } from './functions.ts';
import { operands, type Span, spanOf, type Token, upTo } from './tokens.ts';
import type { Edit } from './types.ts';

const THEN = new Set(['then']);
/** What asks whether something is true. */
const ASKING = new Set(['or', 'when', 'if', 'elsif']);
const COMMA = new Set([',']);
const COMPARISONS = new Set(['=', '<>', '<', '>', '<=', '>=']);
const brief = (text: string) => text.replaceAll(/\s+/g, ' ').slice(0, 110);

/** Tokens of the arguments of a call, its name standing at an index. */
function argumentsAt(tokens: readonly Token[], at: number): (readonly Token[])[] {
  const found: (readonly Token[])[] = [];
  let next = at + 2;
  while (next < tokens.length && tokens[next]?.text !== ')') {
    const one = upTo(tokens, next, COMMA);
    if (one.length === 0) break;
    found.push(one);
    next += one.length + (tokens[next + one.length]?.text === ',' ? 1 : 0);
  }
  return found;
}

/** What of several stands for the others: the fallback of coalesce() gone, the exception of nullif(), either side of least(). */
function* chosen(tokens: readonly Token[], at: number, text: (span: Span) => string): Generator<Edit> {
  const name = (tokens[at] as Token).text;
  const given = argumentsAt(tokens, at);
  const last = given.at(-1)?.at(-1);
  if (given.length < 2 || !last) return;
  const span = { start: (tokens[at] as Token).start, end: last.end + 1 };
  for (const [nth, one] of given.entries()) {
    if (nth > 0 && name !== 'least') return;
    const asked = ASKING.has(tokens[at - 1]?.text ?? '') && given[1]?.[0]?.text === 'false';
    yield {
      how: `${name}(): ${brief(text(spanOf(one)))} alone`,
      span,
      by: `(${text(spanOf(one))})`,
      reason: asked ? 'in a condition null is no more true than false' : undefined,
    };
  }
}

/** WHEN … of a CASE that asks a condition of its own, and each alternative of it. */
function* branches(tokens: readonly Token[], at: number, text: (span: Span) => string): Generator<Edit> {
  const level = (tokens[at] as Token).depth + 1;
  for (let nth = at + 1; nth < tokens.length && (tokens[nth] as Token).depth >= level; nth++) {
    const token = tokens[nth] as Token;
    if (token.text !== 'when' || token.depth !== level) continue;
    const condition = upTo(tokens, nth + 1, THEN);
    const parts = operands(condition, 'or');
    for (const part of parts.length > 1 ? [condition, ...parts] : [condition])
      yield { how: `never: ${brief(text(spanOf(part)))}`, span: spanOf(part), by: 'false' };
  }
}

/** Expressions of the functions that say who somebody is. */
export function* expressionEdits(tokens: readonly Token[], one: FunctionInfo): Generator<Edit> {
  const text = ({ start, end }: Span) => one.body.slice(start, end);
  for (const [at, token] of tokens.entries()) {
    const called = tokens[at + 1]?.text === '(';
    if (called && (token.text === 'coalesce' || token.text === 'nullif' || token.text === 'least'))
      yield* chosen(tokens, at, text);
    if (token.text === 'case' && tokens[at + 1]?.text === 'when') yield* branches(tokens, at, text);
    if (one.returnsBoolean && one.language === 'sql' && token.kind === 'symbol' && COMPARISONS.has(token.text)) {
      const from = tokens.slice(0, at).findLastIndex(({ text: word, depth }) => word === '(' && depth < token.depth);
      const whole = upTo(tokens, from + 1, COMMA);
      yield { how: `always: ${brief(text(spanOf(whole)))}`, span: spanOf(whole), by: 'true' };
    }
  }
}
