import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Rules for the columns of the generated file: every type family, several rules, one unique column. */
export const COLUMNS = [
  { name: 'order_id', type: 'uuid', required: true, unique: true },
  { name: 'line', type: 'integer', required: true, min: 1, max: 2_000_000 },
  { name: 'customer', type: 'string', required: true, min_length: 3, max_length: 60 },
  { name: 'email', type: 'email', required: true },
  { name: 'sku', type: 'string', pattern: '^[A-Z]{2}-[0-9]{4}$' },
  { name: 'amount', type: 'number', required: true, min: 0, max: 100_000 },
  { name: 'paid', type: 'boolean' },
  { name: 'ordered_on', type: 'date', required: true, min: '2015-01-01', max: '2030-12-31' },
  { name: 'country', type: 'string', enum: ['DE', 'FR', 'GB', 'PL', 'US'] },
  { name: 'note', type: 'string', max_length: 200 },
];

const COUNTRIES = ['DE', 'FR', 'GB', 'PL', 'US'];
const WORDS = 'swift river amber stone quiet harbor northern maple copper lantern'.split(' ');

/** mulberry32: the same file on every machine. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Orders as a shop exports them; about one row in fifty has something wrong. */
function* lines(rows: number): Generator<string> {
  const random = seeded(20_240_229);
  const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T;
  const hex = () =>
    Math.floor(random() * 4_294_967_296)
      .toString(16)
      .padStart(8, '0');
  const two = (below: number) => String(1 + Math.floor(random() * below)).padStart(2, '0');
  let previous = '';
  let chunk = `${COLUMNS.map((column) => column.name).join(',')}\n`;
  for (let row = 1; row <= rows; row++) {
    const [a, b, c, d] = [hex(), hex(), hex(), hex()];
    let id = `${a}-${b.slice(0, 4)}-4${b.slice(5)}-a${c.slice(1, 4)}-${c.slice(4)}${d}`;
    if (random() < 0.002) id = previous || id;
    previous = id;
    const name = `${pick(WORDS)} ${pick(WORDS)}`;
    const email = random() < 0.004 ? `${name} at example` : `${name.replace(' ', '.')}${row}@example.com`;
    const sku =
      random() < 0.004 ? 'unknown' : `${pick(COUNTRIES)}-${String(Math.floor(random() * 10_000)).padStart(4, '0')}`;
    const amount = random() < 0.004 ? 'n/a' : (random() * 5000).toFixed(2);
    const date = `${2016 + Math.floor(random() * 9)}-${two(12)}-${random() < 0.004 ? '31' : two(28)}`;
    const country = random() < 0.004 ? 'XX' : pick(COUNTRIES);
    const note = random() < 0.3 ? `"${name}, said ""${pick(WORDS)}"""` : `${pick(WORDS)} ${pick(WORDS)} ${pick(WORDS)}`;
    chunk += `${id},${row},${name},${email},${sku},${amount},${random() < 0.5},${date},${country},${note}\n`;
    if (chunk.length > 65_536) {
      yield chunk;
      chunk = '';
    }
  }
  yield chunk;
}

export async function writeOrders(path: string, rows: number): Promise<void> {
  await pipeline(Readable.from(lines(rows)), createWriteStream(path));
}
