/** First bytes of the formats that people most often upload as .csv by mistake. */
const SIGNATURES: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['a ZIP archive or an Excel workbook (.xlsx)', Buffer.from('PK\x03\x04', 'latin1')],
  ['an Excel workbook (.xls)', Buffer.from([0xd0, 0xcf, 0x11, 0xe0])],
  ['a PDF document', Buffer.from('%PDF-')],
  ['a gzip archive', Buffer.from([0x1f, 0x8b])],
  ['a Zstandard archive', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ['a PNG image', Buffer.from([0x89, 0x50, 0x4e, 0x47])],
  ['a JPEG image', Buffer.from([0xff, 0xd8, 0xff])],
  ['a Parquet file', Buffer.from('PAR1')],
  ['an SQLite database', Buffer.from('SQLite format 3\0')],
];

/** Names the binary format that a file starts with, if it is a known one. */
export function binarySignature(start: Buffer): string | undefined {
  return SIGNATURES.find(([, bytes]) => start.subarray(0, bytes.length).equals(bytes))?.[0];
}

/**
 * Share of control bytes other than tab, line feed, vertical tab, form feed and carriage return.
 * Random bytes have about 0.1, text has none.
 */
export function controlShare(bytes: Buffer): number {
  let controls = 0;
  for (const byte of bytes) if ((byte < 32 && (byte < 9 || byte > 13)) || byte === 127) controls++;
  return bytes.length === 0 ? 0 : controls / bytes.length;
}
