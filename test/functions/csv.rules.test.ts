import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { RE2JS } from 're2js';
import { describe, expect, it } from 'vitest';
import { startsFormula } from '../../functions/csv/formula.ts';
import { parseInteger, parseNumber } from '../../functions/csv/number.ts';
import { compilePattern, isFixedShape } from '../../functions/csv/pattern.ts';
import { type ColumnType, isType, TYPE_PARSERS } from '../../functions/csv/types.ts';
import { createMemoryBudget, createUniqueIndex, INDEX_FULL } from '../../functions/csv/unique.ts';
import { runJob } from '../../functions/jobs/index.ts';
import { memoryContext, validate } from './csv-context.ts';

const examples: [ColumnType, valid: string[], invalid: string[]][] = [
  ['integer', ['0', '-7', '007', '12345678901234567890'], ['', '-', '+1', '1.0', '1e3', '１', '1 ']],
  [
    'number',
    ['0', '-1.5', '1e3', '1.5E-7', '007'],
    ['', '.', '-', '.5', '5.', '+1', '1,5', 'NaN', 'Infinity', '0x1', '1e'],
  ],
  ['boolean', ['true', 'false', 'TRUE'], ['yes', '1', 'truee']],
  [
    'date',
    ['2024-02-29', '0001-01-01'],
    ['2023-02-29', '2024-2-9', '2024-13-01', '2024-00-10', '20240229', '2024-02-29T'],
  ],
  [
    'datetime',
    ['2024-02-29T23:59', '2024-02-29T23:59:60Z', '2024-02-29T00:00:00.123456789+14:00', '2024-02-29T10:00-05:30'],
    [
      '2024-02-29',
      '2024-02-29 10:00',
      '2024-02-30T10:00',
      '2024-02-29T24:00',
      '2024-02-29T10:00:0',
      '2024-02-29T10:00+5',
      '2024-02-29T10:00:00.Z',
      '2024-02-29T1000',
    ],
  ],
  ['email', ['a@b.co', "o'neil+x@sub.example.org"], ['a', 'a@b', '@b.co', 'a b@c.de', 'a@-b.co', 'a@b..co']],
  [
    'url',
    ['http://a.b/c?d#e', 'HTTPS://x'],
    ['ftp://a', 'a.b', 'javascript:alert(1)', 'http://', 'http://a b', 'https:///x'],
  ],
  [
    'uuid',
    ['123e4567-e89b-12d3-a456-426614174000', '123E4567-E89B-12D3-A456-426614174000'],
    ['123e4567e89b12d3a456426614174000', '123e4567-e89b-12d3-a456-42661417400g'],
  ],
];

describe('types', () => {
  it.each(examples)('%s takes what is valid and nothing else', (type, valid, invalid) => {
    expect(valid.filter((text) => !isType(type, text))).toEqual([]);
    expect(invalid.filter((text) => isType(type, text))).toEqual([]);
  });

  it('reads numbers exactly as JavaScript does', () => {
    const decimal = fc.tuple(fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }), fc.stringMatching(/^(\.\d{1,18})?$/));
    fc.assert(
      fc.property(decimal, ([whole, fraction]) => {
        expect(parseNumber(`${whole}${fraction}`)).toBe(Number(`${whole}${fraction}`));
        expect(parseInteger(`${whole}`)).toBe(Number(whole));
      }),
      { numRuns: 2000 },
    );
  });

  it('reads datetimes exactly as JavaScript does', () => {
    fc.assert(
      fc.property(
        fc.date({ noInvalidDate: true, min: new Date('0001-01-01'), max: new Date('9999-12-31') }),
        (date) => {
          expect(TYPE_PARSERS.datetime(date.toISOString())).toBe(date.getTime());
          expect(TYPE_PARSERS.datetime(`${date.toISOString().slice(0, 19)}+02:30`)).toBe(
            Math.floor(date.getTime() / 1000) * 1000 - 9_000_000,
          );
        },
      ),
    );
  });
});

describe('rules', () => {
  it.each([
    [{ type: 'integer', min: 2, max: 3 }, ['2', '3'], { '1': 'min', '4': 'max' }],
    [{ type: 'number', min: -0.5, max: 0.5 }, ['-0.5', '0.5'], { '-0.51': 'min', '5e-1': '', '0.6': 'max' }],
    [{ type: 'date', min: '2024-01-31' }, ['2024-01-31', '2024-02-01'], { '2023-12-31': 'min' }],
    [
      { type: 'datetime', max: '2024-01-01T00:00:00Z' },
      ['2024-01-01T01:00:00+01:00'],
      { '2024-01-01T00:00:01Z': 'max' },
    ],
    [
      { type: 'string', min_length: 2, max_length: 3 },
      ['äö', '😀😀', '😀😀😀'],
      { a: 'min_length', '😀': 'min_length', abcd: 'max_length', '😀😀😀😀': 'max_length' },
    ],
    [{ type: 'string', pattern: 'b+' }, ['abc'], { aac: 'pattern' }],
    [{ type: 'string', pattern: '^(a|b)+$' }, ['abba'], { abc: 'pattern' }],
    [{ type: 'string', enum: ['x', 'y'] }, ['x'], { X: 'enum', z: 'enum' }],
  ])('applies %j', async (rules, valid, invalid) => {
    const cells = [...valid, ...Object.keys(invalid)];
    const columns = [{ name: 'c', ...rules }];
    const { findings } = await validate(`c\n${cells.join('\n')}\n`, { columns });
    const expected = Object.entries(invalid).filter(([, rule]) => rule !== '');
    const found = findings.map((f) => [f.value, f.rule]);
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
    expect(found).toHaveLength(expected.length);
  });

  it('skips every rule but required for an empty cell', async () => {
    const columns = [
      { name: 'c', type: 'integer', min: 5, enum: ['7'] },
      { name: 'd', type: 'string', required: true },
    ];
    const { findings } = await validate('c,d\n,\n', { columns });
    expect(findings.map((f) => [f.column_name, f.rule])).toEqual([['d', 'required']]);
  });
});

describe('input', () => {
  const column = { name: 'a', type: 'string' };
  it.each([
    [{ columns: [] }, /^columns: /],
    [{ columns: [column, column] }, /^columns\[1\]\.name: "a" is there twice$/],
    [{ columns: [{ ...column, patern: 'x' }] }, /^columns\[0\]: Unrecognized key: "patern"$/],
    [{ columns: [{ ...column, type: 'text' }] }, /^columns\[0\]\.type: Invalid option: expected one of "integer"/],
    [{ columns: [{ ...column, pattern: '(' }] }, /^columns\[0\]\.pattern: RE2 does not accept it: /],
    [{ columns: [{ ...column, pattern: '(a)\\1' }] }, /^columns\[0\]\.pattern: RE2 does not accept it: /],
    [{ columns: [{ ...column, min: 1 }] }, /^columns\[0\]\.min: does not apply to type string; use min_length/],
    [{ columns: [{ ...column, type: 'date', max: '1.1.2024' }] }, /^columns\[0\]\.max: must be a date such as/],
    [
      { columns: [{ ...column, min_length: 3, max_length: 2 }] },
      /^columns\[0\]\.min_length: is greater than max_length$/,
    ],
    [{ columns: [column], deduplicate: true }, /^deduplicate: needs "repair": true$/],
    [{ columns: [column], max_findings: 10_001 }, /^max_findings: /],
    [{ columns: [column], repairs: true }, /^Unrecognized key: "repairs"$/],
  ])('refuses %j', async (input, message) => {
    const job = runJob('csv.validate', { file_id: randomUUID(), ...input }, memoryContext(Buffer.from('a\n')));
    await expect(job).rejects.toMatchObject({ code: 'job_input_invalid', message: expect.stringMatching(message) });
  });

  it('refuses a job type that does not exist', async () => {
    const job = runJob('csv.sort', {}, memoryContext(Buffer.alloc(0)));
    await expect(job).rejects.toMatchObject({
      code: 'job_type_unknown',
      message: 'No job type csv.sort; there are: csv.validate',
    });
  });
});

describe('compilePattern', () => {
  it('agrees with RE2 on the shapes that it gives to JavaScript', () => {
    const atom = fc.constantFrom('a', 'Z', '0', '-', ' ', '\\d', '\\.', '[a-c]', '[A-Z0-9_-]', '[.+]', ':');
    const count = fc.constantFrom('', '', '{2}', '{0}');
    const repeat = fc.constantFrom('', '+', '*', '?', '{1,2}', '{2,}');
    const part = fc.tuple(atom, count).map(([a, n]) => a + n);
    const pattern = fc
      .tuple(fc.array(part, { maxLength: 3 }), atom, repeat, fc.array(part, { maxLength: 3 }), fc.constantFrom('', '$'))
      .map(([before, a, r, after, end]) => `^${before.join('')}${a}${r}${after.join('')}${end}`);
    const text = fc.string({ unit: fc.constantFrom(...'aabcZ09-. :+_é\n'), maxLength: 8 });
    fc.assert(
      fc.property(pattern, text, (source, input) => {
        expect(isFixedShape(source)).toBe(true);
        expect(compilePattern(source, 0)(input)).toBe(RE2JS.compile(source).test(input));
      }),
      { numRuns: 5000 },
    );
  });

  it.each(['^a*b*$', '^(a+)+$', 'a', '^[^a]$', '^\\w+$', '^.$', '(?i)^a$', '^a|b$'])('leaves %s to RE2', (pattern) => {
    expect(isFixedShape(pattern)).toBe(false);
  });

  it('is linear where a backtracking engine would not end', () => {
    const matches = compilePattern('^(a+)+$', 16);
    expect(matches(`${'a'.repeat(50_000)}b`)).toBe(false);
    expect(matches('aaa')).toBe(true);
    expect(matches('aaa')).toBe(true);
  });
});

describe('createUniqueIndex', () => {
  it('returns the row that had a value first, as a Map does', () => {
    const value = fc.string({ maxLength: 3 });
    fc.assert(
      fc.property(fc.array(value, { maxLength: 300 }), (values) => {
        const index = createUniqueIndex();
        const first = new Map<string, number>();
        values.forEach((text, at) => {
          expect(index.add(text, at + 1)).toBe(first.get(text) ?? 0);
          if (!first.has(text)) first.set(text, at + 1);
        });
      }),
    );
  });

  it('remembers every value while it grows', () => {
    const index = createUniqueIndex();
    for (let row = 1; row <= 100_000; row++) expect(index.add(`v${row}`, row)).toBe(0);
    for (let row = 1; row <= 100_000; row += 997) expect(index.add(`v${row}`, 1)).toBe(row);
  });

  it('says so when its memory is used up, and still knows what it has seen', () => {
    const index = createUniqueIndex(createMemoryBudget(4096 * 20));
    const results = Array.from({ length: 4000 }, (_, row) => index.add(`v${row}`, row + 1));
    const full = results.indexOf(INDEX_FULL);
    expect(full).toBeGreaterThan(3000);
    expect(results.slice(full).every((result) => result === INDEX_FULL)).toBe(true);
    expect(index.add('v7', 9)).toBe(8);
  });

  it('gives its memory back when it is closed, and when it grows what it grew out of', () => {
    const before = process.memoryUsage().arrayBuffers;
    const index = createUniqueIndex();
    for (let row = 1; row <= 100_000; row++) index.add(`v${row}`, row);
    const table = 2 ** 18 * 20;
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(table * 1.25);
    index.close();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(table * 0.25);
    expect(index.add('v7', 1)).toBe(INDEX_FULL);
  });
});

describe('startsFormula', () => {
  it('knows every character that starts a formula', () => {
    expect([...'=+-@\t\r\n＝＋－＠'].filter((sign) => !startsFormula(`${sign}1`))).toEqual([]);
    expect(['', "'=1", 'a=1', '1', ' =1', 'é', '(1)'].filter(startsFormula)).toEqual([]);
  });
});
