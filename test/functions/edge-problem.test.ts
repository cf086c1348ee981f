import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { faultOf, faultOfError, type PostgrestError, problemOf } from '../../functions/edge/problem.ts';
import { RowhouseError } from '../../functions/errors.ts';

const fromPostgrest = (status: number, body: PostgrestError) => problemOf(faultOf(status, body), '/v1/files');
const fromError = (error: unknown) => problemOf(faultOfError(error), '/storage/v1/uploads');

describe('an answer of PostgREST', () => {
  test('keeps code, status and texts of a typed error', () => {
    const body = { code: 'tenant_suspended', message: 'The tenant is suspended', details: 'since today', hint: 'ask' };
    expect(fromPostgrest(403, body)).toEqual({
      type: 'https://rowhouse.dev/errors/tenant_suspended',
      title: 'The tenant is suspended',
      status: 403,
      detail: 'since today',
      instance: '/v1/files',
      code: 'tenant_suspended',
      message: 'The tenant is suspended',
      details: 'since today',
      hint: 'ask',
    });
  });

  test.each([
    ['JWT expired', 'token_expired'],
    ['JWSError JWSInvalidSignature', 'token_invalid'],
  ])('turns PGRST301 "%s" into %s', (message, code) => {
    const problem = fromPostgrest(401, { code: 'PGRST301', message, details: null, hint: null });
    expect(problem).toMatchObject({ status: 401, code, details: null });
  });

  test.each([401, 403])('turns 42501 into permission_denied and keeps the status %i', (status) => {
    const message = 'permission denied for table files_p07';
    const problem = fromPostgrest(status, { code: '42501', message, details: null, hint: null });
    expect(problem).toMatchObject({ status, code: 'permission_denied', message: 'Not allowed', detail: 'Not allowed' });
    expect(JSON.stringify(problem)).not.toContain('files_p07');
  });

  test('turns a duplicate key into a conflict that names neither key nor constraint', () => {
    const problem = fromPostgrest(409, {
      code: '23505',
      message: 'duplicate key value violates unique constraint "invoices_number_key"',
      details: 'Key (tenant_id, number)=(t_acme, 42) already exists.',
    });
    expect(problem).toMatchObject({ status: 409, code: 'conflict', type: 'https://rowhouse.dev/errors/conflict' });
    expect(JSON.stringify(problem)).not.toMatch(/42|invoices|t_acme/);
  });

  test.each([
    ['XX000', 500, 'internal', 500],
    ['42P17', 500, 'internal', 500],
    ['57014', 500, 'database_unavailable', 503],
    ['40P01', 500, 'database_unavailable', 503],
    ['', 400, 'database_unavailable', 503],
    ['PGRST000', 503, 'database_unavailable', 503],
    ['PGRST003', 504, 'database_unavailable', 503],
  ])('shows no text of %s', (code, status, ours, answered) => {
    const secret = 'relation "ledger.entries" at select * from app.files';
    const problem = fromPostgrest(status, { code, message: secret, details: secret, hint: secret });
    expect(problem).toMatchObject({ code: ours, status: answered });
    expect(JSON.stringify(problem)).not.toMatch(/ledger|select/);
  });

  test('keeps what clients of PostgREST match on', () => {
    const details = 'The result contains 0 rows';
    const body = { code: 'PGRST116', message: 'JSON object requested, multiple (or no) rows returned', details };
    expect(fromPostgrest(406, body)).toMatchObject({
      ...body,
      status: 406,
      type: 'https://rowhouse.dev/errors/request_invalid',
    });
  });

  test("shows what is wrong with the caller's own value", () => {
    const message = 'invalid input syntax for type uuid: "x"';
    expect(fromPostgrest(400, { code: '22P02', message })).toMatchObject({ code: 'request_invalid', detail: message });
  });

  test.each([
    'see app.files for more',
    'constraint on "ledger"."entries"',
    'while running SELECT secret FROM somewhere',
    'insert into x values (1)',
  ])('drops the text %j even of a typed error', (text) => {
    const problem = fromPostgrest(409, { code: 'conflict', message: 'x', details: text, hint: text });
    expect(problem).toMatchObject({ code: 'conflict', details: null, hint: null });
    expect(JSON.stringify(problem)).not.toContain(text);
  });

  test.each([
    [401, 'token_invalid', 401],
    [404, 'not_found', 404],
    [406, 'request_invalid', 406],
    [500, 'internal', 500],
    [502, 'upstream_unavailable', 503],
  ])('answers %i without a body with %s', (status, code, answered) => {
    expect(fromPostgrest(status, {})).toMatchObject({ code, status: answered });
  });
});

describe('an error of the edge', () => {
  test('carries its code, hint and headers', () => {
    const error = new RowhouseError('file_pending', { hint: 'upload it', headers: { 'Retry-After': '3' } });
    expect(faultOfError(error).headers).toEqual({ 'Retry-After': '3' });
    expect(fromError(error)).toMatchObject({ status: 409, code: 'file_pending', hint: 'upload it', details: null });
  });

  test('names every member that is wrong', () => {
    const { error } = z.object({ size: z.int(), name: z.string() }).safeParse({ size: 1.5 });
    const problem = fromError(error);
    expect(problem).toMatchObject({ status: 400, code: 'request_invalid' });
    expect(problem.detail).toMatch(/^size: .+; name: .+/);
  });

  test("keeps the status of Fastify's refusals", () => {
    const error = Object.assign(new Error('Request body is too large'), { statusCode: 413 });
    expect(fromError(error)).toMatchObject({ status: 413, code: 'request_invalid' });
  });

  test('says nothing of what it does not know', () => {
    const problem = fromError(new Error('select secret from app.files'));
    expect(problem).toMatchObject({ status: 500, code: 'internal', details: null, hint: null });
    expect(JSON.stringify(problem)).not.toContain('secret');
  });
});
