import { expect, test } from 'vitest';
import { refusalOf, writeApart } from '../../functions/worker/webhooks/divide.ts';

interface Item {
  tenant: string;
  n: number;
}

const failure = (code: string) => Object.assign(new Error(code), { code });
const items = (tenant: string, ...numbers: number[]): Item[] => numbers.map((n) => ({ tenant, n }));

/** Writes items, where `fault` names none of them. */
async function run(all: Item[], fault: (item: Item) => string | undefined) {
  const written: number[] = [];
  const refused: number[] = [];
  const done: number[] = [];
  let calls = 0;
  const write = async (some: Item[]) => {
    calls += 1;
    for (const item of some) {
      const code = fault(item);
      if (code) throw failure(code);
    }
    written.push(...some.map(({ n }) => n));
  };
  const told = {
    written: (some: Item[]) => void done.push(...some.map(({ n }) => n)),
    refused: async ({ n }: Item) => void refused.push(n),
  };
  const locked = await writeApart(all, ({ tenant }) => tenant, write, told).catch((error: Error) => error.message);
  return { written, refused, done, locked: locked instanceof Set ? [...locked] : locked, calls };
}

test('writes everything at once where nothing is refused', async () => {
  const result = await run([...items('a', 1, 2), ...items('b', 3)], () => undefined);
  expect(result).toEqual({ written: [1, 2, 3], refused: [], done: [1, 2, 3], locked: [], calls: 1 });
});

test('leaves out the one whose content is refused, and writes all others in their order', async () => {
  const result = await run([...items('a', 1, 2, 3, 4, 5), ...items('b', 6, 7)], ({ n }) =>
    n === 3 ? '22P05' : undefined,
  );
  expect(result).toMatchObject({ written: [1, 2, 4, 5, 6, 7], refused: [3], done: [1, 2, 3, 4, 5, 6, 7], locked: [] });
});

test('writes nothing of a tenant behind what is locked, and everything of the others', async () => {
  const result = await run([...items('a', 1, 2, 3), ...items('b', 4), ...items('c', 5)], ({ n }) =>
    n === 2 ? '55P03' : undefined,
  );
  expect(result).toEqual({ written: [4, 5], refused: [], done: [4, 5], locked: ['a'], calls: 4 });
});

test('gives up at once where the connection is what failed', async () => {
  const result = await run(items('a', 1, 2), () => '57P01');
  expect(result).toEqual({ written: [], refused: [], done: [], locked: '57P01', calls: 1 });
});

test.each([
  ['22021', 'content'],
  ['23505', 'content'],
  ['54000', 'content'],
  ['40P01', 'locked'],
  ['55P03', 'locked'],
  ['08006', 'passing'],
  ['42883', 'passing'],
  ['ECONNREFUSED', 'passing'],
  [undefined, 'passing'],
])('takes %s for %s', (code, refusal) => {
  expect(refusalOf({ code })).toBe(refusal);
});
