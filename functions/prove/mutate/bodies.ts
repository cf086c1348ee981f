import type { ClientBase } from 'pg';
import { rules } from '../rules/index.ts';
import { expressionEdits } from './expressions.ts';
import { type FunctionInfo, readFunctions } from './functions.ts';
import { operands, replaced, type Span, spanOf, type Token, tokenize, upTo } from './tokens.ts';
import { AUTHORS_OWN, BODIES, type Edit, type Generated } from './types.ts';

const QUIET = new Set(['notice', 'warning', 'info', 'log', 'debug']);
const THEN = new Set(['then']);
const WHERE_ENDS = new Set([
  'order',
  'group',
  'limit',
  'for',
  'returning',
  'union',
  'on',
  'loop',
  'then',
  'having',
  'window',
]);

/** Schemas whose functions are ours alone; in the others a function is known if a rule is about it. */
const MACHINERY = /^(?:auth|request|tenancy|ledger|admin)\./;
const FROM = new Set(['from', 'update', 'into']);
const BOUND = 'the policy of that table binds the role that the function runs with to the sealed tenant as well';

const OF_A_TRANSACTION = 'each transaction begins with the default of transaction_read_only, whatever was set before';

const brief = (text: string) => text.replaceAll(/\s+/g, ' ').slice(0, 110);

/** Whether a statement that begins here raises, or calls what may. */
function isGuard(tokens: readonly Token[], at: number, raisers: ReadonlySet<string>): boolean {
  const [first, second, third, fourth] = tokens.slice(at, at + 4);
  if (first?.text === 'raise') return !QUIET.has(second?.text ?? '');
  return first?.text === 'perform' && third?.text === '.' && raisers.has(`${second?.text}.${fourth?.text}`);
}

/** Disjuncts of a condition, however deep in conjunctions they stand. */
function disjuncts(tokens: readonly Token[]): (readonly Token[])[] {
  const ors = operands(tokens, 'or');
  if (ors.length > 1) return ors;
  const ands = operands(tokens, 'and');
  return ands.length > 1 ? ands.flatMap((operand) => (operand.length < tokens.length ? disjuncts(operand) : [])) : [];
}

/** Conjuncts of each WHERE from `from` to `to`, taken away one by one. */
function* wheres(tokens: readonly Token[], one: FunctionInfo, of: (at: number) => boolean): Generator<Edit> {
  const text = ({ start, end }: Span) => one.body.slice(start, end);
  for (const [at, token] of tokens.entries()) {
    if (token.text !== 'where' || !of(at)) continue;
    const condition = upTo(tokens, at + 1, WHERE_ENDS);
    for (const conjunct of operands(condition, 'and')) {
      const span = spanOf(conjunct);
      const table = tokens
        .slice(0, at)
        .findLast(({ kind }, nth) => kind === 'word' && FROM.has(tokens[nth - 3]?.text ?? ''));
      const bound = table && one.boundTables.has(`${tokens[tokens.indexOf(table) - 2]?.text}.${table.text}`);
      yield {
        how: `whatever: ${brief(text(span))}`,
        span,
        by: 'true',
        reason: bound && text(span) === 'tenant_id = request.tenant_id()' ? BOUND : undefined,
      };
    }
  }
}

/** Checks of a PL/pgSQL body, neutralised one by one. */
function* statementEdits(tokens: readonly Token[], one: FunctionInfo, raisers: ReadonlySet<string>): Generator<Edit> {
  const text = ({ start, end }: Span) => one.body.slice(start, end);
  for (const [at, token] of tokens.entries()) {
    if (isGuard(tokens, at, raisers)) {
      const span = spanOf(upTo(tokens, at, new Set()));
      yield { how: `without: ${brief(text(span))}`, span, by: 'null' };
    }
    if (token.text === 'set_config' && tokens[at + 1]?.text === '(') {
      const local = upTo(tokens, at + 2, new Set()).findLast(({ text: word }) => word === 'true');
      const reason = tokens[at + 2]?.text === "'transaction_read_only'" ? OF_A_TRANSACTION : undefined;
      if (local) yield { how: 'the setting outlives its transaction', span: local, by: 'false', reason };
    }
    if ((token.text !== 'if' && token.text !== 'elsif') || tokens[at - 1]?.text === 'end') continue;
    const condition = upTo(tokens, at + 1, THEN);
    const guards = isGuard(tokens, at + 2 + condition.length, raisers);
    for (const disjunct of guards ? disjuncts(condition) : []) {
      const span = spanOf(disjunct);
      yield { how: `never: ${brief(text(span))}`, span, by: 'false' };
    }
    if (!guards && condition.some(({ text: word }) => word === 'has_tenant_role')) {
      const span = spanOf(condition);
      yield { how: `always: ${brief(text(span))}`, span, by: 'true' };
    }
    if (guards && !one.gate && !one.lent) {
      const inside = (nth: number) =>
        nth > at &&
        nth <= at + condition.length &&
        /\bnot exists \([^()]*$/i.test(text({ start: token.start, end: (tokens[nth] as Token).start }));
      yield* wheres(tokens, one, inside);
    }
  }
}

/** What a client is asked for, lowered to what every member has. */
function* roleEdits(one: FunctionInfo): Generator<Edit> {
  for (const { index, 0: found, 1: least } of one.body.matchAll(/has_tenant_role\('(\w+)'/g)) {
    const span = { start: index, end: index + found.length };
    if (least !== 'viewer') yield { how: `asks for a viewer, not ${least}`, span, by: "has_tenant_role('viewer'" };
  }
}

function* editsOf(one: FunctionInfo, raisers: ReadonlySet<string>): Generator<Edit> {
  const tokens = tokenize(one.body);
  if (one.language === 'plpgsql') yield* statementEdits(tokens, one, raisers);
  yield* roleEdits(one);
  if (one.gate || one.lent) yield* wheres(tokens, one, () => true);
  if (one.gate) yield* expressionEdits(tokens, one);
}

/** Mutants of bodies: made by taking the functions' own text apart, whatever their names. */
export async function bodyMutants(client: ClientBase): Promise<Generated> {
  const functions = await readFunctions(client);
  const ruled = new Set(rules.map(({ about }) => about));
  const isKnown = ({ name, called }: FunctionInfo) => MACHINERY.test(called) || ruled.has(name);
  const raisers = new Set(functions.filter(({ raises }) => raises).map(({ called }) => called));
  const generated: Generated = { mutants: [], excluded: [] };
  const seen = new Set<string>();
  for (const one of functions) {
    for (const { how, span, by, ...edit } of editsOf(one, raisers)) {
      const reason = isKnown(one) ? edit.reason : AUTHORS_OWN;
      const at = { start: span.start + one.offset, end: span.end + one.offset };
      const sql = replaced(one.definition, at, by);
      if (seen.has(sql)) continue;
      seen.add(sql);
      const common = { class: BODIES, element: `function ${one.name}`, how };
      if (reason) generated.excluded.push({ ...common, reason });
      else generated.mutants.push({ ...common, sql, undo: one.definition, cluster: false });
    }
  }
  return generated;
}
