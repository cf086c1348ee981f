import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { detectDialect } from '../../functions/csv/dialect.ts';
import { detectEncoding, toUtf8 } from '../../functions/csv/encoding.ts';
import { chunksOf, validate } from './csv-context.ts';

const utf16be = (text: string) => Buffer.from(text, 'utf16le').swap16();
const latin = (text: string) => Buffer.from(text, 'latin1');

describe('detectEncoding', () => {
  it.each([
    ['utf-8', 3, Buffer.from('\uFEFFa,b\n')],
    ['utf-16le', 2, Buffer.from('\uFEFFa,b\n', 'utf16le')],
    ['utf-16be', 2, utf16be('\uFEFFa,b\n')],
    ['utf-16le', 0, Buffer.from('name,city\nJosé,Köln\n', 'utf16le')],
    ['utf-16be', 0, utf16be('name,city\nJosé,Köln\n')],
    ['utf-16le', 0, Buffer.from('名前,都市,国\n太郎,東京,日本\n', 'utf16le')],
    ['utf-8', 0, Buffer.from('name,city\nJosé,Köln\n')],
    ['utf-8', 0, Buffer.concat([Buffer.from('José,'), Buffer.from([0xff])])],
    ['utf-8', 0, Buffer.from('a,b\n1,\0x\n')],
    ['windows-1252', 0, latin('name,city\nJos\xe9,K\xf6ln\n')],
    ['windows-1252', 0, latin('price\n\x80 5\n')],
  ])('finds %s with %i bytes of byte order mark', (encoding, bomBytes, sample) => {
    expect(detectEncoding(sample, 'auto')).toEqual({ encoding, bomBytes });
  });

  it('believes a byte order mark more than the declaration', () => {
    expect(detectEncoding(Buffer.from('\uFEFFa'), 'windows-1252')).toEqual({ encoding: 'utf-8', bomBytes: 3 });
  });

  it('believes the declaration where there is no byte order mark', () => {
    expect(detectEncoding(Buffer.from('é'), 'windows-1252')).toEqual({ encoding: 'windows-1252', bomBytes: 0 });
  });
});

describe('toUtf8', () => {
  it('decodes windows-1252 with its own characters between 0x80 and 0x9f', () => {
    const bytes = Buffer.from([0x80, 0x93, 0x94, 0x99, 0xe9]);
    expect(toUtf8('windows-1252')(bytes).toString()).toBe('€“”™é');
  });

  it('decodes UTF-16 whatever the chunks are', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 9 }), fc.boolean(), (text, size, big) => {
        const convert = toUtf8(big ? 'utf-16be' : 'utf-16le');
        const bytes = big ? utf16be(text) : Buffer.from(text, 'utf16le');
        const parts = [...chunksOf(bytes, size)].map((chunk) => convert(chunk));
        expect(Buffer.concat([...parts, convert()]).toString()).toBe(text.toWellFormed());
      }),
    );
  });
});

describe('detectDialect', () => {
  it.each([',', ';', '\t', '|'] as const)('finds %j among texts that hold the others', (delimiter) => {
    const others = ',;\t|'.replace(delimiter, '');
    const lines = ['id', 'name', 'note'].join(delimiter);
    const row = ['1', `"${others}${delimiter}\n"`, others[0] ?? ''].join(delimiter);
    expect(detectDialect(`${lines}\n${row}\n${row}\n`, 'auto', [])).toEqual({ delimiter, lineEndings: ['\r\n', '\n'] });
  });

  it('prefers the delimiter that finds the declared columns', () => {
    expect(detectDialect('a,b,c;price\n1,2,3;4\n', 'auto', ['price']).delimiter).toBe(';');
  });

  it('takes a comma for a file of one column', () => {
    expect(detectDialect('name\nx\n', 'auto', ['name']).delimiter).toBe(',');
  });

  it('takes CR for the line end only where there is no other outside quotes', () => {
    expect(detectDialect('a,b\r1,"x\ny"\r', 'auto', []).lineEndings).toEqual(['\r']);
    expect(detectDialect('a,b\n1,"x\ry"\n', 'auto', []).lineEndings).toEqual(['\r\n', '\n']);
  });
});

describe('reading', () => {
  const cell = fc.string({
    unit: fc.constantFrom('a', 'B', '7', 'é', 'ß', ' ', '"', ',', ';', '\t', '|', '\n'),
    maxLength: 12,
  });
  const encodings = {
    'utf-8': (text: string) => Buffer.from(text),
    'utf-16le': (text: string) => Buffer.from(text, 'utf16le'),
    'utf-16be': utf16be,
    'windows-1252': latin,
  };

  it('returns the cells that were written, in every encoding and with every delimiter', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 8 }),
        fc.constantFrom(...(Object.keys(encodings) as (keyof typeof encodings)[])),
        fc.constantFrom(',', ';', '\t', '|'),
        fc.constantFrom('\n', '\r\n'),
        async (cells, encoding, delimiter, end) => {
          const quote = (text: string) => `"${text.replaceAll('"', '""')}"`;
          const rows = [['first name', 'größe', 'key'], ...cells.map((row) => [...row, 'é'])];
          const content = rows.map((row) => row.map(quote).join(delimiter) + end).join('');
          const columns = [{ name: 'key', type: 'string', required: true }];
          const { result, repaired } = await validate(encodings[encoding](content), { columns, repair: true });
          expect(result).toMatchObject({ encoding, delimiter, invalid_rows: 0, rows: cells.length });
          const written = repaired.map((row) => row.map((text) => text.replace(/^'/, '')));
          expect(written).toEqual(rows);
        },
      ),
      { numRuns: 200 },
    );
  });
});
