// The frontend's half of PostgreSQL's protocol 3.0, as far as recording needs it:
// https://www.postgresql.org/docs/18/protocol-message-formats.html

export interface Parsed {
  name: string;
  text: string;
  types: readonly number[];
}

export interface Bound {
  statement: string;
  values: (string | null)[];
}

/** SSLRequest and GSSENCRequest: the server answers with one byte, and the client begins again. */
const NEGOTIATIONS = new Set([80877103, 80877104]);

/** @returns takes what the client sends, in pieces of any length, and calls `onMessage` for each whole message after the startup */
export function frontendMessages(onMessage: (type: string, body: Buffer) => void): (chunk: Buffer) => void {
  let pending = Buffer.alloc(0);
  let started = false;

  /** How many bytes were read; 0 where the message is not whole yet. */
  function readOne(): number {
    const typed = started ? 1 : 0;
    if (pending.length < typed + 4) return 0;
    const length = typed + pending.readInt32BE(typed);
    if (pending.length < length) return 0;
    if (started) onMessage(pending.toString('latin1', 0, 1), pending.subarray(5, length));
    // A startup message has no type, and its code is the protocol's version.
    else started = !NEGOTIATIONS.has(pending.readInt32BE(4));
    return length;
  }

  return (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    for (let length = readOne(); length > 0; length = readOne()) pending = pending.subarray(length);
  };
}

export function readParse(body: Buffer): Parsed {
  const [name, afterName] = readString(body, 0);
  const [text, afterText] = readString(body, afterName);
  const count = body.readInt16BE(afterText);
  const types = Array.from({ length: count }, (_, nth) => body.readUInt32BE(afterText + 2 + 4 * nth));
  return { name, text, types };
}

/** @param typesOf the types that a statement's parameters were declared with */
export function readBind(body: Buffer, typesOf: (statement: string) => readonly number[]): Bound {
  const [, afterPortal] = readString(body, 0);
  const [statement, afterStatement] = readString(body, afterPortal);
  const types = typesOf(statement);
  const formatCount = body.readInt16BE(afterStatement);
  const formats = Array.from({ length: formatCount }, (_, nth) => body.readInt16BE(afterStatement + 2 + 2 * nth));
  let at = afterStatement + 2 + 2 * formatCount;
  const count = body.readInt16BE(at);
  at += 2;
  const values = Array.from({ length: count }, (_, nth) => {
    const length = body.readInt32BE(at);
    at += 4;
    if (length < 0) return null;
    const bytes = body.subarray(at, at + length);
    at += length;
    const binary = (formatCount === 1 ? formats[0] : formats[nth]) === 1;
    return binary ? fromBinary(bytes, types[nth] ?? 0) : bytes.toString();
  });
  return { statement, values };
}

const OID = { boolean: 16, bigint: 20, smallint: 21, integer: 23, jsonb: 3802 } as const;

/** Text in PostgreSQL's own way of writing; what is text in binary, too (text, json, unknown), as it is. */
function fromBinary(bytes: Buffer, type: number): string {
  if (type === OID.boolean) return String(bytes[0] === 1);
  if (type === OID.bigint) return String(bytes.readBigInt64BE());
  if (type === OID.smallint) return String(bytes.readInt16BE());
  if (type === OID.integer) return String(bytes.readInt32BE());
  if (type === OID.jsonb) return bytes.toString('utf8', 1); // After the version of the format.
  return bytes.toString();
}

function readString(body: Buffer, at: number): [string, number] {
  const end = body.indexOf(0, at);
  return [body.toString('utf8', at, end), end + 1];
}
