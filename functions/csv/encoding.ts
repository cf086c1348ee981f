import { isUtf8 } from 'node:buffer';
import { JobFailure } from '../job.ts';
import { binarySignature, controlShare } from './binary.ts';

export const ENCODINGS = ['utf-8', 'utf-16le', 'utf-16be', 'windows-1252'] as const;
export type Encoding = (typeof ENCODINGS)[number];

export interface DetectedEncoding {
  encoding: Encoding;
  /** Length of the byte order mark to leave out. */
  bomBytes: number;
}

/**
 * Finds the encoding of a file from its first bytes. A byte order mark wins over what was declared, as in the WHATWG
 * Encoding Standard; without one, UTF-16 shows by its zero bytes, and text that is not UTF-8 and has no valid
 * multi-byte sequence is taken as windows-1252.
 * @throws JobFailure file_unreadable for binary content.
 */
export function detectEncoding(sample: Buffer, declared: Encoding | 'auto'): DetectedEncoding {
  if (sample[0] === 0xef && sample[1] === 0xbb && sample[2] === 0xbf) return { encoding: 'utf-8', bomBytes: 3 };
  if (sample[0] === 0xff && sample[1] === 0xfe) return { encoding: 'utf-16le', bomBytes: 2 };
  if (sample[0] === 0xfe && sample[1] === 0xff) return { encoding: 'utf-16be', bomBytes: 2 };
  const signature = binarySignature(sample);
  if (signature) throw unreadable(`The file is ${signature}, not CSV. Export it as CSV and upload that.`);
  if (declared !== 'auto') return { encoding: declared, bomBytes: 0 };

  const valid = isUtf8(withoutCutCharacter(sample));
  const wide = detectUtf16(sample, valid);
  if (wide) return { encoding: wide, bomBytes: 0 };
  const controls = controlShare(sample);
  if (controls > 0.3 || (!valid && controls > 0.05)) {
    throw unreadable('The file holds binary data, not text. Upload a CSV file, or name its encoding.');
  }
  return { encoding: valid || hasMultiByteCharacter(sample) ? 'utf-8' : 'windows-1252', bomBytes: 0 };
}

const unreadable = (detail: string) => new JobFailure('file_unreadable', detail);

/** Ends a sample before a UTF-8 character that its end may have cut in two. */
function withoutCutCharacter(sample: Buffer): Buffer {
  for (let back = 1; back <= Math.min(3, sample.length); back++) {
    const byte = sample[sample.length - back] as number;
    if (byte >= 0xc0) return sample.subarray(0, sample.length - back);
    if (byte < 0x80) return sample;
  }
  return sample;
}

/**
 * ASCII characters in UTF-16 have a zero byte, always on the same side. Where they are a minority (other scripts), the
 * zero bytes count only in what is not UTF-8 anyway: a stray NUL in a short UTF-8 file must not turn it into UTF-16.
 */
function detectUtf16(sample: Buffer, validUtf8: boolean): 'utf-16le' | 'utf-16be' | undefined {
  const pairs = Math.min(sample.length, 65_536) >> 1;
  let even = 0;
  let odd = 0;
  for (let i = 0; i < pairs; i++) {
    if (sample[2 * i] === 0) even++;
    if (sample[2 * i + 1] === 0) odd++;
  }
  const enough = pairs * (validUtf8 ? 0.4 : 0.1);
  if (odd > 0 && odd >= enough && even <= odd / 10) return 'utf-16le';
  if (even > 0 && even >= enough && odd <= even / 10) return 'utf-16be';
  return undefined;
}

/** Whether some character is a well-formed UTF-8 sequence of two or more bytes: rare by chance in windows-1252. */
function hasMultiByteCharacter(sample: Buffer): boolean {
  for (let i = 0; i < sample.length - 1; i++) {
    const lead = sample[i] as number;
    const length = lead < 0xc2 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 1;
    if (length > 1 && i + length <= sample.length && isUtf8(sample.subarray(i, i + length))) return true;
  }
  return false;
}

/** Bytes 0x80–0x9f of windows-1252 (WHATWG index). Node 24.9's own decoder maps them as latin1. */
const WINDOWS_1252 = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ';

/** Turns chunks of a file into chunks of UTF-8; called without a chunk at the end, for what was held back. */
export type ToUtf8 = (chunk?: Buffer) => Buffer;

/** UTF-8 passes as it is, broken sequences included: csv-parse decodes them as U+FFFD, cell by cell. */
export function toUtf8(encoding: Encoding): ToUtf8 {
  const nothing = Buffer.alloc(0);
  if (encoding === 'utf-8') return (chunk = nothing) => chunk;
  if (encoding === 'windows-1252') {
    return (chunk = nothing) => {
      const text = chunk.toString('latin1');
      return Buffer.from(text.replace(/[\x80-\x9f]/g, (c) => WINDOWS_1252[c.charCodeAt(0) - 0x80] as string));
    };
  }
  const decoder = new TextDecoder(encoding, { ignoreBOM: true });
  return (chunk) => Buffer.from(chunk ? decoder.decode(chunk, { stream: true }) : decoder.decode());
}
