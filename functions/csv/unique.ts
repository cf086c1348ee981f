import { hash, randomBytes } from 'node:crypto';

const WORDS = 5;
const SLOT_BYTES = WORDS * 4;
const FIRST_SLOTS = 1 << 12;
const MAX_LOAD = 0.75;

/** `add` found the value new but had no room to remember it. */
export const INDEX_FULL = -1;

export interface UniqueIndex {
  /** @returns 0 when the value is new, the row that had it first, or INDEX_FULL. */
  add(value: string, row: number): number;
  /** Forgets everything and gives the memory back; `add` then returns INDEX_FULL. */
  close(): void;
}

/** Lets several indexes share one limit. Returns whether `bytes` more may be used. */
export type Reserve = (bytes: number) => boolean;

export function createMemoryBudget(limit: number): Reserve {
  let used = 0;
  return (bytes) => {
    if (used + bytes > limit) return false;
    used += bytes;
    return true;
  };
}

/**
 * Remembers which values were seen and in which row first, in 20 bytes a slot however long they are: 40 MiB for a
 * million values. Values are known by 128 bits of SHA-256; two different ones among n are taken for equal with odds
 * of n²/2¹²⁹, about 10⁻²⁷ for a million. A random key in front keeps a crafted file from piling values on one slot.
 */
export function createUniqueIndex(reserve: Reserve = () => true): UniqueIndex {
  const key = randomBytes(12).toString('base64');
  let slots = FIRST_SLOTS;
  let size = 0;
  let full = !reserve(slots * SLOT_BYTES);
  /** Five words a slot, next to each other for the sake of the processor's cache: the hash, then the row, 0 if free. */
  let table = new Uint32Array(full ? 0 : slots * WORDS);

  function find(a: number, b: number, c: number, d: number): number {
    const mask = slots - 1;
    for (let slot = a & mask; ; slot = (slot + 1) & mask) {
      const at = slot * WORDS;
      if (table[at + 4] === 0) return at;
      if (table[at] === a && table[at + 1] === b && table[at + 2] === c && table[at + 3] === d) return at;
    }
  }

  function grow(): void {
    if (!reserve(slots * SLOT_BYTES)) {
      full = true;
      return;
    }
    const old = table;
    slots *= 2;
    table = new Uint32Array(slots * WORDS);
    for (let i = 0; i < old.length; i += WORDS) {
      if (old[i + 4] === 0) continue;
      const at = find(old[i] as number, old[i + 1] as number, old[i + 2] as number, old[i + 3] as number);
      for (let word = 0; word < WORDS; word++) table[at + word] = old[i + word] as number;
    }
    free(old);
  }

  return {
    add(value, row) {
      if (table.length === 0) return INDEX_FULL;
      // One character a byte: cheaper to read back than hex, and no Buffer is allocated.
      const digest = hash('sha256', key + value, 'binary');
      const a = word(digest, 0);
      const b = word(digest, 4);
      const c = word(digest, 8);
      const d = word(digest, 12);
      const at = find(a, b, c, d);
      const first = table[at + 4] as number;
      if (first !== 0) return first;
      if (full) return INDEX_FULL;
      table[at] = a;
      table[at + 1] = b;
      table[at + 2] = c;
      table[at + 3] = d;
      table[at + 4] = row;
      size++;
      if (size > slots * MAX_LOAD) grow();
      return 0;
    },
    close: () => free(table),
  };
}

/** At once: left to the garbage collector, tables of earlier files stay: 60 MB after four of a million rows. */
function free(table: Uint32Array<ArrayBuffer>): void {
  table.buffer.transfer(0);
}

function word(text: string, at: number): number {
  return (
    ((text.charCodeAt(at) << 24) |
      (text.charCodeAt(at + 1) << 16) |
      (text.charCodeAt(at + 2) << 8) |
      text.charCodeAt(at + 3)) >>>
    0
  );
}
