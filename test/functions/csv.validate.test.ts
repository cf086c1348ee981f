import { createHash, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { RowhouseError } from '../../functions/errors.ts';
import { JobFailure } from '../../functions/job.ts';
import { runJob } from '../../functions/jobs/index.ts';
import { chunksOf, memoryContext, validate } from './csv-context.ts';

const people = [
  { name: 'id', type: 'integer', required: true, unique: true, min: 1 },
  { name: 'email', type: 'email', required: true },
  { name: 'born', type: 'date' },
];

const failure = (content: Buffer | string, input: object) =>
  validate(content, input).then(
    () => undefined,
    (error: unknown) => error,
  );

describe('csv.validate', () => {
  it('counts a clean file as valid and writes an empty report', async () => {
    const { result, findings, report } = await validate('id,email,born\n1,a@b.co,2000-02-29\n2,c@d.co,\n', {
      columns: people,
    });
    expect(result).toMatchObject({ rows: 2, valid_rows: 2, invalid_rows: 0, findings: 0, findings_stored: 0 });
    expect(result).toMatchObject({ encoding: 'utf-8', delimiter: ',', columns: ['id', 'email', 'born'], bytes: 44 });
    expect(result.repaired_file_id).toBeUndefined();
    expect(findings).toEqual([]);
    expect(report).toEqual([['row', 'column', 'rule', 'severity', 'message', 'value', 'repaired']]);
  });

  it('reports each broken rule with its row, column and value, the same in findings and report', async () => {
    const { result, findings, report } = await validate('id,email,born\n0,a@b.co,2001-02-29\n2,nobody,\n2,,\n', {
      columns: people,
    });
    expect(findings).toEqual([
      finding(0, 1, 'id', 'min', 'below the minimum of 1', '0'),
      finding(1, 1, 'born', 'type', 'not an ISO 8601 date (2024-12-31)', '2001-02-29'),
      finding(2, 2, 'email', 'type', 'not an e-mail address', 'nobody'),
      finding(3, 3, 'email', 'required', 'empty', ''),
      finding(4, 3, 'id', 'unique', 'the same value as row 2', '2'),
    ]);
    expect(report.slice(1)).toEqual(
      findings.map((f) => [String(f.row), f.column_name, f.rule, f.severity, f.message, f.value, '']),
    );
    expect(result).toMatchObject({ rows: 3, valid_rows: 0, invalid_rows: 3, findings: 5, findings_stored: 5 });
    expect(result.by_rule).toEqual({ min: 1, type: 2, required: 1, unique: 1 });
    expect(result.by_column).toEqual({ id: 2, born: 1, email: 2 });
  });

  it('stores no more findings than asked and reports all of them', async () => {
    const rows = Array.from({ length: 1200 }, () => 'x').join('\n');
    const columns = [{ name: 'n', type: 'integer' }];
    const { result, findings, report } = await validate(`n\n${rows}\n`, { columns, max_findings: 700 });
    expect(result).toMatchObject({ findings: 1200, findings_stored: 700 });
    expect(findings.map((f) => f.ordinal)).toEqual(Array.from({ length: 700 }, (_, ordinal) => ordinal));
    expect(report).toHaveLength(1201);
  });

  it('gives the same result and the same findings whatever the chunks of the file are', async () => {
    const content = Buffer.from(
      '\uFEFFid,email,born\r\n1,"ä€😀""\r\n",2000-01-01\r\n\0 2,é@b.co\r\n3,x\xff,,9\n"4",\uFFFD,',
      'utf8',
    );
    content[content.indexOf('x') + 1] = 0xff;
    const whole = await validate(content, { columns: people, repair: true });
    expect(whole.result.findings).toBeGreaterThan(5);
    for (const size of [1, 2, 3, 5, 7, 16]) {
      const cut = await validate(Readable.from(chunksOf(content, size)), { columns: people, repair: true });
      expect({ ...cut.result, report_file_id: 0, repaired_file_id: 0, duration_ms: 0 }).toEqual({
        ...whole.result,
        report_file_id: 0,
        repaired_file_id: 0,
        duration_ms: 0,
      });
      expect(cut.findings).toEqual(whole.findings);
      expect(cut.repaired).toEqual(whole.repaired);
    }
  });

  it('reports a missing, an extra and a duplicate column once each, not for every row', async () => {
    const { result, findings } = await validate('id,Email,id,note\n1,a@b.co,1,x\n2,a@b.co,2,y\n', { columns: people });
    expect(findings.map((f) => [f.row, f.column_name, f.rule, f.severity])).toEqual([
      [null, 'id', 'duplicate_column', 'error'],
      [null, 'email', 'missing_column', 'error'],
      [null, 'born', 'missing_column', 'warning'],
      [null, 'Email', 'extra_column', 'warning'],
      [null, 'note', 'extra_column', 'warning'],
    ]);
    expect(findings[1]?.message).toBe('not in the header, which has Email');
    expect(result).toMatchObject({ rows: 2, valid_rows: 0, invalid_rows: 2 });
    const allowed = await validate('id,email,note\n', { columns: people.slice(0, 2), extra_columns: 'allow' });
    expect(allowed.findings).toEqual([]);
  });

  it('reports ragged rows and blank lines and reads on', async () => {
    const content = 'id,email,born\n1,a@b.co\n\n2,a@b.co,2000-01-01,x\n3,c@d.co,2000-01-01\n';
    const { result, findings } = await validate(content, { columns: people });
    expect(findings.map((f) => [f.row, f.rule, f.severity, f.message])).toEqual([
      [1, 'too_few_fields', 'error', '2 fields where the file has 3 columns'],
      [2, 'blank_line', 'warning', 'blank line'],
      [3, 'too_many_fields', 'error', '4 fields where the file has 3 columns'],
    ]);
    expect(result).toMatchObject({ rows: 3, valid_rows: 1, invalid_rows: 2 });
  });

  it.each([
    ['LF', '\n'],
    ['CRLF', '\r\n'],
    ['CR', '\r'],
  ])('reads %s line ends', async (_name, end) => {
    const { result } = await validate(['id,email,born', '1,a@b.co,', '2,c@d.co,', ''].join(end), { columns: people });
    expect(result).toMatchObject({ rows: 2, valid_rows: 2 });
  });

  it('reads LF rows under a CRLF header', async () => {
    const { result } = await validate('id,email,born\r\n1,a@b.co,\n2,c@d.co,\n', { columns: people });
    expect(result).toMatchObject({ rows: 2, valid_rows: 2 });
  });

  it('takes columns in their order when there is no header', async () => {
    const { result } = await validate('1,a@b.co,2000-01-01\n2,x,\n', { columns: people, header: false });
    expect(result).toMatchObject({ rows: 2, valid_rows: 1, by_column: { email: 1 } });
  });

  it('succeeds with no rows for a header alone', async () => {
    const { result } = await validate('id,email,born', { columns: people });
    expect(result).toMatchObject({ rows: 0, valid_rows: 0, invalid_rows: 0, findings: 0 });
  });

  it('names the row of bytes that are not UTF-8 and shows them as U+FFFD', async () => {
    const content = Buffer.concat([
      Buffer.from('id,email,born\n1,a@b.co,\n2,ä'),
      Buffer.from([0xff]),
      Buffer.from('@b.co,\n3,c@d.co,\n'),
    ]);
    const { result, findings } = await validate(content, { columns: people });
    expect(findings.map((f) => [f.row, f.column_name, f.rule, f.value])).toEqual([
      [2, 'email', 'encoding', 'ä\uFFFD@b.co'],
      [2, 'email', 'type', 'ä\uFFFD@b.co'],
    ]);
    expect(result.valid_rows).toBe(2);
  });

  it('stores NUL and cut surrogate pairs in a form that PostgreSQL takes', async () => {
    const long = `${'x'.repeat(199)}😀`;
    const columns = [{ name: 'a', type: 'integer' }];
    const { findings } = await validate(`a\nx\0y\n${long}\n`, { columns });
    expect(findings.map((f) => [f.rule, f.value])).toEqual([
      ['nul_byte', 'x␀y'],
      ['type', 'x␀y'],
      ['type', 'x'.repeat(199)],
    ]);
  });

  it('loses only the line of a quote that is never closed', async () => {
    const good = Array.from({ length: 100 }, (_, i) => `${i + 2},p${i}@b.co,2000-01-01`).join('\n');
    const { result, findings } = await validate(`id,email,born\n1,"a@b.co,2000-01-01\n${good}\n`, { columns: people });
    expect(findings.map((f) => [f.row, f.rule, f.value])).toEqual([[1, 'unclosed_quote', '1,"a@b.co,2000-01-01']]);
    expect(result).toMatchObject({ rows: 101, valid_rows: 100, invalid_rows: 1 });
  });

  it('reports a quote that swallowed the line behind it', async () => {
    const { findings } = await validate('id,email,born\n1,"a@b.co,\n2,"c@d.co,\n3,"e""f",\n', { columns: people });
    expect(findings.map((f) => [f.row, f.rule])).toContainEqual([1, 'malformed_quotes']);
    expect(findings.filter((f) => f.row === 2).map((f) => f.rule)).toEqual(['type']);
  });

  it('tells a cell with text behind its closing quote from the same cell written properly', async () => {
    const content = 'id,email,born\n1,"""c""d",\n2,"c"d,\n3,"""c""d",\n';
    const { findings } = await validate(content, {
      columns: [{ name: 'id', type: 'integer' }],
      extra_columns: 'allow',
    });
    expect(findings.map((f) => [f.row, f.column_name, f.rule, f.value])).toEqual([
      [2, 'email', 'malformed_quotes', '"c"d'],
    ]);
  });

  it('fails on quotes that are broken all over the file, naming how far it came', async () => {
    const line = 'b"a,"\n';
    const error = await failure(`a,b\n1,2\n${line.repeat(1_200_000)}`, { columns: [{ name: 'a', type: 'string' }] });
    expect(error).toBeInstanceOf(JobFailure);
    expect(error).toMatchObject({ code: 'field_too_large' });
    expect((error as JobFailure).message).toMatch(/^After 2 readable rows/);
  });

  it('keeps a row with a giant field, reports it, and reads on', async () => {
    const { result, findings } = await validate(`id,email,born\n1,${'x'.repeat(1_100_000)},\n2,a@b.co,\n`, {
      columns: people,
    });
    expect(findings.map((f) => [f.row, f.rule, f.value?.length])).toEqual([
      [1, 'field_too_large', 200],
      [1, 'type', 200],
    ]);
    expect(result).toMatchObject({ rows: 2, valid_rows: 1 });
  });

  it('skips a line that is too large to hold, reports it, and reads on', async () => {
    const { result, findings } = await validate(`id,email,born\n1,${'x'.repeat(5_000_000)},\n2,a@b.co,\n`, {
      columns: people,
    });
    expect(findings.map((f) => [f.row, f.rule])).toEqual([[1, 'record_too_large']]);
    expect(result).toMatchObject({ rows: 2, valid_rows: 1 });
  });

  it.each([
    ['file_empty', ''],
    ['file_empty', '\uFEFF'],
    ['file_empty', ' \n\n'],
    ['file_unreadable', 'PK\x03\x04rest of a workbook'],
    ['file_unreadable', '%PDF-1.7'],
  ])('fails with %s for %j', async (code, content) => {
    expect(await failure(content, { columns: people })).toMatchObject({ name: 'JobFailure', code });
  });

  it('fails with file_unreadable for random bytes', async () => {
    const noise = Buffer.concat(Array.from({ length: 300 }, (_, i) => createHash('sha256').update(`${i}`).digest()));
    expect(await failure(noise, { columns: people })).toMatchObject({ name: 'JobFailure', code: 'file_unreadable' });
  });

  it.each([['file_not_found' as const], ['file_pending' as const]])(
    'fails for good when the file is %s',
    async (code) => {
      const openFile = () => Promise.reject(new RowhouseError(code));
      const context = memoryContext(Buffer.alloc(0), { openFile });
      const job = runJob('csv.validate', { file_id: randomUUID(), columns: people }, context);
      await expect(job).rejects.toMatchObject({ name: 'JobFailure', code });
    },
  );

  it('reports its progress up to the whole file', async () => {
    const { context } = await validate('id,email,born\n1,a@b.co,\n', { columns: people });
    expect(context.progress.at(-1)).toEqual({ bytes: 24, total_bytes: 24, rows: 1 });
  });

  it('stops at once when it is cancelled, giving up both outputs', async () => {
    const controller = new AbortController();
    let lines = 0;
    const endless = Readable.from(
      (function* () {
        yield 'id,email,born\n';
        for (;;) {
          lines++;
          if (lines === 30_000) controller.abort(new Error('cancelled by the tenant'));
          yield `${lines},a@b.co,2000-01-01\n`;
        }
      })(),
    );
    const context = memoryContext(endless, { signal: controller.signal });
    const job = runJob('csv.validate', { file_id: randomUUID(), columns: people, repair: true }, context);
    await expect(job).rejects.toThrow('cancelled by the tenant');
    expect(lines).toBeLessThan(200_000);
    expect(context.aborted).toHaveLength(2);
    expect(context.outputs.size).toBe(0);
    expect(endless.destroyed).toBe(true);
  });

  it('fails with the error of storage and gives up the other output', async () => {
    const rows = Array.from({ length: 50_000 }, (_, i) => `${i + 1},x,\n`).join('');
    const context = memoryContext(Buffer.from(`id,email,born\n${rows}`));
    const { createFile } = context;
    context.createFile = (file, source) =>
      file.kind === 'report' ? Promise.reject(new Error('storage is down')) : createFile(file, source);
    const job = runJob('csv.validate', { file_id: randomUUID(), columns: people, repair: true }, context);
    await expect(job).rejects.toThrow('storage is down');
    expect(context.aborted).toHaveLength(1);
  });

  it('passes an error of recordFindings on, so that the job is tried again', async () => {
    const context = memoryContext(Buffer.from('id,email,born\nx,y,z\n'));
    context.recordFindings = () => Promise.reject(new RowhouseError('lease_lost'));
    const job = runJob('csv.validate', { file_id: randomUUID(), columns: people }, context);
    await expect(job).rejects.toMatchObject({ name: 'RowhouseError', code: 'lease_lost' });
    expect(context.aborted).toHaveLength(1);
  });

  it('reads real airports', async () => {
    const file = await readFile('node_modules/vega-datasets/data/airports.csv');
    const rows = file.toString().trim().split('\n').slice(1);
    const northern = rows.filter((row) => Number(row.split(',').at(-2)) > 60).length;
    expect(northern).toBeGreaterThan(100);
    const { result } = await validate(file, {
      columns: [
        { name: 'iata', type: 'string', required: true, unique: true, pattern: '^[0-9A-Z]{3,4}$' },
        { name: 'state', type: 'string', pattern: '^[A-Z]{2}$' },
        { name: 'latitude', type: 'number', min: -90, max: 60 },
        { name: 'longitude', type: 'number', min: -180, max: 180 },
      ],
      extra_columns: 'allow',
    });
    expect(result).toMatchObject({ rows: 3376, invalid_rows: northern, by_rule: { max: northern } });
  });

  it('reads real zip codes', async () => {
    const file = await readFile('node_modules/vega-datasets/data/zipcodes.csv');
    const { result } = await validate(file, {
      columns: [
        { name: 'zip_code', type: 'string', required: true, unique: true, pattern: '^\\d{5}$' },
        { name: 'latitude', type: 'number' },
      ],
      extra_columns: 'allow',
    });
    expect(result).toMatchObject({ rows: 42_049, valid_rows: 42_049, findings: 0 });
  });
});

function finding(ordinal: number, row: number, column_name: string, rule: string, message: string, value: string) {
  return { ordinal, row, column_name, rule, severity: 'error', message, value, repaired: null };
}
