import { describe, expect, test } from 'vitest';
import { requestHeaders, responseHeaders } from '../../functions/edge/forwarding.ts';
import { parseRange } from '../../functions/edge/range.ts';
import { contentDisposition } from '../../functions/storage/disposition.ts';

describe('what PostgREST gets to see', () => {
  const call = { schema: 'v1', method: 'POST', peerAddress: '192.0.2.7', requestId: 'r-1' };

  test('keeps what is the client’s to say', () => {
    const said = { authorization: 'Bearer a', prefer: 'count=exact', traceparent: '00-a-b-01', 'content-length': '2' };
    expect(requestHeaders(said, call)).toEqual({
      ...said,
      'accept-profile': 'v1',
      'content-profile': 'v1',
      'x-forwarded-for': '192.0.2.7',
      'x-request-id': 'r-1',
    });
  });

  test('drops what would steer it', () => {
    const forged = {
      'accept-profile': 'app',
      'content-profile': 'ledger',
      forwarded: 'for=10.0.0.1',
      'x-forwarded-for': '10.0.0.1',
      'x-forwarded-host': 'evil',
      'x-real-ip': '10.0.0.1',
      'x-rowhouse-tenant': 't_globex',
      'x-request-id': 'forged',
      te: 'trailers',
      'transfer-encoding': 'chunked',
      upgrade: 'h2c',
      expect: '100-continue',
    };
    expect(requestHeaders(forged, call)).toEqual(requestHeaders({}, call));
  });

  test('sends no length with a GET', () => {
    expect(requestHeaders({ 'content-length': '9' }, { ...call, method: 'GET' })).not.toHaveProperty('content-length');
  });
});

test('turns paths of PostgREST into paths of the edge', () => {
  const headers = { location: '/files?id=eq.1', server: 'postgrest/12', connection: 'close', 'content-range': '0-1/2' };
  expect(responseHeaders(headers, '/v1')).toEqual({ location: '/v1/files?id=eq.1', 'content-range': '0-1/2' });
});

describe('a range', () => {
  test.each([
    ['bytes=0-3', { start: 0, end: 3 }],
    ['bytes=4-', { start: 4, end: 9 }],
    ['bytes=-3', { start: 7, end: 9 }],
    ['bytes=-99', { start: 0, end: 9 }],
    ['bytes=8-99', { start: 8, end: 9 }],
    [undefined, undefined],
    ['bytes=-', undefined],
    ['bytes=5-2', undefined],
    ['bytes=0-1,4-5', undefined],
    ['rows=0-1', undefined],
  ])('%s of ten bytes is %j', (header, range) => {
    expect(parseRange(header, 10)).toEqual(range);
  });

  test.each(['bytes=10-', 'bytes=10-11', 'bytes=-0'])('%s of ten bytes is refused', (header) => {
    expect(() => parseRange(header, 10)).toThrow(
      expect.objectContaining({ code: 'range_invalid', headers: { 'Content-Range': 'bytes */10' } }),
    );
  });
});

test.each([
  ['people.csv', `attachment; filename="people.csv"; filename*=UTF-8''people.csv`],
  ['naïve (1).csv', `attachment; filename="na_ve (1).csv"; filename*=UTF-8''na%C3%AFve%20%281%29.csv`],
  ['a"; b\r\nX: y', `attachment; filename="a_; b__X: y"; filename*=UTF-8''a%22%3B%20b__X%3A%20y`],
  ['../x\\y', `attachment; filename=".._x_y"; filename*=UTF-8''.._x_y`],
  ['\ud800', `attachment; filename="_"; filename*=UTF-8''%EF%BF%BD`],
])('downloads %j as %s', (name, header) => {
  expect(contentDisposition(name)).toBe(header);
});
