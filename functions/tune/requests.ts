import { RowhouseError } from '../errors.ts';
import type { Recorded, Recording } from './recorded.ts';
import { type Condition, type Shape, shapeName, takesValue } from './shape.ts';

const OPERATORS: { [name: string]: Condition['operator'] } = {
  eq: '=',
  lt: '<',
  lte: '<=',
  gt: '>',
  gte: '>=',
  in: '= any',
};

function requested(column: string, value: string): [Condition, string?] | undefined {
  if (value === 'is.null') return [{ column, operator: 'is null' }];
  if (value === 'not.is.null') return [{ column, operator: 'is not null' }];
  const [, short = '', rest = ''] = /^([a-z]+)\.(.*)$/s.exec(value) ?? [];
  const operator = OPERATORS[short];
  if (!operator) return undefined;
  return [{ column, operator }, operator === '= any' ? rest.replace(/^\((.*)\)$/s, '{$1}') : rest];
}

/** Reads one request of a list, such as `/v1/jobs?status=eq.failed&order=created_at.desc&limit=20`. */
export function parseRequestLine(line: string): Recorded | undefined {
  const url = new URL(line.replace(/^GET\s+/, ''), 'http://api');
  const relation = /^\/(?:v1\/)?([A-Za-z_]\w*)$/.exec(url.pathname)?.[1];
  if (!relation) return undefined;
  const shape: Shape = { relation, columns: [], conditions: [], order: [], limited: false };
  const values: string[] = [];
  for (const [key, value] of url.searchParams) {
    if (key === 'select') {
      if (!/^[\w,*]+$/.test(value)) return undefined;
      shape.columns = value === '*' ? [] : value.split(',');
    } else if (key === 'order') {
      shape.order = value.split(',').map((part) => {
        const [column = '', ...how] = part.split('.');
        const nulls = how.includes('nullsfirst') ? 'first' : how.includes('nullslast') ? 'last' : null;
        return { column, descending: how.includes('desc'), nulls };
      });
    } else if (key === 'limit') shape.limited = true;
    else if (key !== 'offset') {
      const read = requested(key, value);
      if (!read) return undefined;
      shape.conditions.push(read[0]);
      if (takesValue(read[0])) values.push(read[1] ?? '');
    }
  }
  if (shape.limited) values.push(url.searchParams.get('limit') ?? '20');
  return { shape, calls: 0, time: 0, values: [values] };
}

/**
 * The requests of a file, one a line; empty lines and those that begin with # are passed over.
 * @throws RowhouseError usage_invalid where no line is a list of the API
 */
export function recordedRequests(text: string): Recording {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const read = lines.map((line) => parseRequestLine(line.trim()));
  const known = new Map<string, Recorded>();
  for (const one of read) {
    if (!one) continue;
    const same = known.get(shapeName(one.shape));
    if (same) same.values?.push(...(one.values ?? []));
    else known.set(shapeName(one.shape), one);
  }
  if (known.size === 0) {
    throw new RowhouseError('usage_invalid', {
      detail: 'no line of the file is a request that this program reads',
      hint: 'One path a line: /v1/jobs?status=eq.failed&order=created_at.desc&limit=20',
    });
  }
  const unread = read.filter((one) => one === undefined).length;
  return { source: 'requests', statements: [...known.values()], unread, time: new Map() };
}
