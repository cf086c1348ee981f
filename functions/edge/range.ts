import { RowhouseError } from '../errors.ts';

/**
 * One byte range of RFC 9110, 14.2. Several ranges, other units and malformed ones are ignored, as the RFC allows.
 * @returns inclusive offsets, or undefined to send everything
 * @throws RowhouseError range_invalid when nothing of the range exists
 */
export function parseRange(header: string | undefined, size: number): { start: number; end: number } | undefined {
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (first !== '' && last !== '' && Number(last) < start) return undefined;
  if (start >= size || end < start) {
    throw new RowhouseError('range_invalid', { headers: { 'Content-Range': `bytes */${size}` } });
  }
  return { start, end };
}
