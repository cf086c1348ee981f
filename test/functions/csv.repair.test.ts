import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CANONICAL, repairFor } from '../../functions/csv/repair.ts';
import { DATE_ORDERS, type DateOrder } from '../../functions/csv/repair-date.ts';
import { COLUMN_TYPES, type ColumnType, isType } from '../../functions/csv/types.ts';
import { validate } from './csv-context.ts';

const repair = (type: ColumnType, text: string, order?: DateOrder) => repairFor(type, order)?.(text);

describe('repair', () => {
  it.each([
    ['1,234,567', '1234567'],
    ['1,234', '1234'],
    ['1.234.567', '1234567'],
    ['1 234', '1234'],
    ['1\u202f234', '1234'],
    ["1'234", '1234'],
    ['+7', '7'],
    ['−7', '-7'],
    ['5.0', '5'],
    ['1,234.00', '1234'],
  ])('reads %j as the integer %s', (text, value) => expect(repair('integer', text)).toBe(value));

  it.each(['1.234', '1.000', '0,123', '5.5', '1,23,4', 'one', '', '-', '1.234,5'])(
    'leaves %j, which is no certain integer',
    (text) => {
      expect(repair('integer', text)).toBeUndefined();
    },
  );

  it.each([
    ['1,234.5', '1234.5'],
    ['1.234,5', '1234.5'],
    ['1 234,56', '1234.56'],
    ['1,5', '1.5'],
    ['-12345,678', '-12345.678'],
    ['0,123', '0.123'],
    ['1,234,567', '1234567'],
    ['.5', '0.5'],
    [',5', '0.5'],
    ['5.', '5'],
    ['+1e3', '1e3'],
  ])('reads %j as the number %s', (text, value) => expect(repair('number', text)).toBe(value));

  it.each(['1,234', '1,23,45', '1.2.3', '12,34.5', '$5', 'NaN', 'Infinity', '0x10'])(
    'leaves %j, which is no certain number',
    (text) => {
      expect(repair('number', text)).toBeUndefined();
    },
  );

  it.each([
    ['Yes', 'true'],
    ['n', 'false'],
    ['1', 'true'],
    ['0', 'false'],
    ['TRUE', 'true'],
  ])('reads %j as the boolean %s', (text, value) => expect(repair('boolean', text)).toBe(value));

  it.each([
    ['2024/2/9', undefined, '2024-02-09'],
    ['20240209', undefined, '2024-02-09'],
    ['31.12.2024', undefined, '2024-12-31'],
    ['12/31/2024', undefined, '2024-12-31'],
    ['05/05/2024', undefined, '2024-05-05'],
    ['01/02/2024', 'dmy', '2024-02-01'],
    ['01/02/2024', 'mdy', '2024-01-02'],
    ['1/2/99', 'dmy', '1999-02-01'],
    ['24-02-09', 'ymd', '2024-02-09'],
    ['9 Feb 2024', undefined, '2024-02-09'],
    ['February 9th, 2024', undefined, '2024-02-09'],
    ['9-sept-2024', undefined, '2024-09-09'],
    ['2024-02-09 00:00:00', undefined, '2024-02-09'],
    ['2024-02-09T00:00:00.000Z', undefined, '2024-02-09'],
  ] as const)('reads %j with order %s as the date %s', (text, order, value) => {
    expect(repair('date', text, order)).toBe(value);
  });

  it.each(['01/02/2024', '1/2/99', '30.02.2024', '2024-13-01', '2024-02-09 10:00', '9 Foo 2024', '2024/02-09'])(
    'leaves %j, which is no certain date',
    (text) => expect(repair('date', text)).toBeUndefined(),
  );

  it.each([
    ['2024-02-09 10:00', '2024-02-09T10:00:00'],
    ['2024-02-09 10:00:05.25Z', '2024-02-09T10:00:05.25Z'],
    ['2024/02/09 1:05 PM', '2024-02-09T13:05:00'],
    ['Feb 9, 2024 12:00:00 a.m.', '2024-02-09T00:00:00'],
    ['2024-02-09t10:00:00+0100', '2024-02-09T10:00:00+01:00'],
    ['2024-02-09 10:00:00 UTC', '2024-02-09T10:00:00Z'],
  ])('reads %j as the datetime %s', (text, value) => expect(repair('datetime', text)).toBe(value));

  it.each(['2024-02-09', '2024-02-09 25:00', '2024-02-09 13:00 pm', 'now'])(
    'leaves %j, which is no certain datetime',
    (text) => {
      expect(repair('datetime', text)).toBeUndefined();
    },
  );

  it.each([
    ['{123E4567-E89B-12D3-A456-426614174000}', '123e4567-e89b-12d3-a456-426614174000'],
    ['urn:uuid:123e4567-e89b-12d3-a456-426614174000', '123e4567-e89b-12d3-a456-426614174000'],
    ['123e4567e89b12d3a456426614174000', '123e4567-e89b-12d3-a456-426614174000'],
  ])('reads %j as a UUID', (text, value) => expect(repair('uuid', text)).toBe(value));

  it('lower-cases the domain of an e-mail address and not its local part', () => {
    expect(CANONICAL.email?.('John.Doe@EXAMPLE.Com')).toBe('John.Doe@example.com');
  });

  it('ends in valid, canonical values that it would not change again', () => {
    const digits = fc.string({ unit: fc.constantFrom(..."0123456789.,+- :/TZ'eE"), maxLength: 24 });
    const words = fc.constantFrom('Yes', 'TRUE', 'f', 'A@B.CO', '{', 'Jan', '12 Jan 2024', '20240209');
    const text = fc.oneof(digits, words, fc.string());
    fc.assert(
      fc.property(
        fc.constantFrom(...COLUMN_TYPES),
        fc.constantFrom(undefined, ...DATE_ORDERS),
        text,
        (type, order, input) => {
          const trimmed = input.trim();
          const fixed = isType(type, trimmed) ? trimmed : repair(type, trimmed, order);
          if (fixed === undefined || fixed === '') return;
          const canonical = CANONICAL[type]?.(fixed) ?? fixed;
          expect(isType(type, canonical)).toBe(true);
          expect(canonical).toBe(canonical.trim());
          expect(CANONICAL[type]?.(canonical) ?? canonical).toBe(canonical);
        },
      ),
      { numRuns: 3000 },
    );
  });
});

describe('csv.validate with repair', () => {
  const columns = [
    { name: 'id', type: 'integer', required: true },
    { name: 'name', type: 'string' },
    { name: 'paid', type: 'boolean' },
    { name: 'on', type: 'date' },
    { name: 'amount', type: 'number' },
  ];

  it('writes what it corrected, counts it by column and kind, and keeps what it cannot correct', async () => {
    const content = 'id;name;paid;on;amount\n"1,000"; Ann ;Yes;31.12.2024;1.234,5\nx;Bob;maybe;01/02/2024;-5\n';
    const { result, findings, repaired } = await validate(content, { columns, repair: true });
    expect(repaired).toEqual([
      ['id', 'name', 'paid', 'on', 'amount'],
      ['1000', 'Ann', 'true', '2024-12-31', '1234.5'],
      ['x', 'Bob', 'maybe', '01/02/2024', '-5'],
    ]);
    expect(result.corrections).toEqual({
      id: { integer: 1 },
      name: { whitespace: 1 },
      paid: { boolean: 1 },
      on: { date: 1 },
      amount: { number: 1 },
    });
    expect(result).toMatchObject({ rows: 2, valid_rows: 1, invalid_rows: 1, delimiter: ';' });
    expect(findings[0]).toMatchObject({ rule: 'type', severity: 'warning', value: '1,000', repaired: '1000' });
    expect(findings.filter((f) => f.severity === 'error').map((f) => f.value)).toEqual(['x', 'maybe', '01/02/2024']);
  });

  it('reports without repair what it would correct, and writes no file', async () => {
    const { result, findings } = await validate('id,name\n"1,000", Ann\n', { columns: columns.slice(0, 2) });
    expect(findings.map((f) => [f.rule, f.severity, f.repaired])).toEqual([
      ['type', 'error', null],
      ['whitespace', 'warning', null],
    ]);
    expect(result).toMatchObject({ valid_rows: 0, corrections: {} });
    expect(result.repaired_file_id).toBeUndefined();
  });

  it('drops rows that are the same after repair when asked, and then checks uniqueness', async () => {
    const content = 'id,name\n1,Ann\n+1, Ann\n1,Bob\n';
    const unique = [{ ...columns[0], unique: true }, columns[1]];
    const { result, findings, repaired } = await validate(content, {
      columns: unique,
      repair: true,
      deduplicate: true,
    });
    expect(repaired).toEqual([
      ['id', 'name'],
      ['1', 'Ann'],
      ['1', 'Bob'],
    ]);
    expect(result).toMatchObject({ rows: 3, valid_rows: 2, duplicates_removed: 1, corrections: {} });
    expect(findings.map((f) => [f.row, f.rule, f.message])).toEqual([
      [2, 'duplicate_row', 'the same as row 1; left out of the repaired file'],
      [3, 'unique', 'the same value as row 1'],
    ]);
  });

  it('neutralises formulas in everything it writes, genuine numbers of numeric columns excepted', async () => {
    const content = '=id,name,amount\n-5,=1+1,-5\n-5,"@SUM(A1)","-5+cmd|\' /C calc\'!A0"\n';
    const named = columns.map((column) => ({ ...column, name: column.name === 'id' ? '=id' : column.name }));
    const { result, report, repaired } = await validate(content, {
      columns: [named[0], named[1], named[4]],
      repair: true,
    });
    expect(repaired).toEqual([
      ["'=id", 'name', 'amount'],
      ['-5', "'=1+1", '-5'],
      ['-5', "'@SUM(A1)", "'-5+cmd|' /C calc'!A0"],
    ]);
    expect(report[1]?.[5]).toBe("'-5+cmd|' /C calc'!A0");
    expect(result.neutralised).toBe(5);
  });

  it('changes nothing in a file that it repaired before', async () => {
    const unit = fc.constantFrom(...' 019.,+-=@\t"\n;TYes/é');
    const cell = fc.oneof(
      fc.string({ unit, maxLength: 8 }),
      fc.constantFrom('1,000', 'Yes', '31.12.2024', '1.234,5', '\0x', "'=1", '1/2/2024'),
    );
    const row = fc.tuple(cell, cell, cell, cell, cell);
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 6 }), async (cells) => {
        const quote = (text: string) => `"${text.replaceAll('"', '""')}"`;
        const rows = [columns.map((column) => column.name), ...cells];
        const content = rows.map((fields) => `${fields.map(quote).join(',')}\n`).join('');
        const input = { columns, repair: true, deduplicate: true, delimiter: ',' };
        const first = await validate(content, input);
        const file = first.context.outputs.get(first.result.repaired_file_id ?? '')?.content as Buffer;
        const second = await validate(file, input);
        expect(second.repaired).toEqual(first.repaired);
        expect(second.result).toMatchObject({ corrections: {}, duplicates_removed: 0 });
        const written = [...first.repaired, ...first.report].slice(1).flat();
        expect(written.filter((text) => /^[=+@\t\r\n]/.test(text))).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });
});
