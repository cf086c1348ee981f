import { nameOf, type Relation } from '../catalogue.ts';
import type { Lab } from '../lab.ts';
import type { Probe, Role } from '../types.ts';
import { doorsOf, param } from './ask.ts';
import { nobodys, victims } from './read.ts';
import { readingProbe } from './reading.ts';

/** The longest run of letters and digits: no pattern language means anything else by it. */
const core = (text: string): string =>
  (text.match(/[A-Za-z0-9]+/g) ?? []).toSorted((left, right) => right.length - left.length)[0] ?? '';

/** Operators for a value, with what they are given: those that a planner may run before the policy among them. */
function operatorsFor(relation: Relation, column: string, value: unknown): [operator: string, filter: string][] {
  const type = relation.columns.find(({ name }) => name === column)?.type;
  const name = encodeURIComponent(column);
  const on = (operator: string, given: string): [string, string] => [
    operator,
    `${name}=${operator}.${encodeURIComponent(given)}`,
  ];
  if (value === null) return [on('is', 'null')];
  if (type?.name === 'json' || type?.name === 'jsonb') {
    const [member, inner] = Object.entries(value as object)[0] ?? [];
    const filters: [string, string][] =
      member === undefined
        ? [on('not.is', 'null')]
        : [
            ['->>', `${encodeURIComponent(`${column}->>${member}`)}=eq.${encodeURIComponent(String(inner))}`],
            [
              '->> like',
              `${encodeURIComponent(`${column}->>${member}`)}=like.*${encodeURIComponent(core(String(inner)))}*`,
            ],
          ];
    return type.name === 'jsonb'
      ? [...filters, on('cs', JSON.stringify(value)), on('cd', JSON.stringify(value)), on('eq', JSON.stringify(value))]
      : filters;
  }
  if (Array.isArray(value)) {
    const list = `{${value.map((item) => JSON.stringify(String(item))).join(',')}}`;
    return [on('cs', list), on('cd', list), on('ov', list), on('eq', list)];
  }
  const text = String(value);
  if (typeof value === 'boolean') return [on('is', text), on('eq', text)];
  if (type?.category === 'R') return [on('cs', text), on('cd', text), on('ov', text), on('eq', text)];
  const listed = `("${text.replace(/["\\]/g, '\\$&')}")`;
  const filters = [on('eq', text), on('in', listed), on('gte', text), on('not.neq', text)];
  if (type?.category !== 'S') return [...filters, on('lte', text), on('not.isdistinct', text)];
  const part = core(text);
  const matching = [
    on('like', `*${part}*`),
    on('ilike', `*${part.toUpperCase()}*`),
    on('match', part),
    on('imatch', part.toUpperCase()),
  ];
  return [...filters, ...matching, ...(part === text && /[a-z]/.test(part) ? [on('plfts', part)] : [])];
}

/** A filter on every column, with every operator of its type, for a value that B has. */
export function filterProbes(lab: Lab, relation: Relation, role: Role): Probe[] {
  const rows = victims(lab, relation);
  return doorsOf(lab, role, true).flatMap((door) =>
    relation.columns.flatMap(({ name }) => {
      const row = rows.find((candidate) => candidate[name] !== null && candidate[name] !== undefined) ?? rows[0] ?? {};
      const value = row[name] ?? null;
      const operators = operatorsFor(relation, name, value);
      const few = door === 'edge' || lab.options.quick || role === 'operator' || role === 'none';
      const nobody = nobodys(lab, value, nameOf(relation), name);
      return (few ? [operators[0], operators.at(-1)].slice(0, operators.length) : operators).map((pair) => {
        const [operator, filter] = pair as [string, string];
        const twinQuery =
          operator === 'eq' && nobody !== undefined ? ['select=*', param(name, `eq.${nobody}`)] : undefined;
        return readingProbe(lab, relation, role, door, {
          family: 'filter',
          title: `${name} ${operator}`,
          query: ['select=*', filter],
          twinQuery,
        });
      });
    }),
  );
}
