import { expect, test } from 'vitest';
import { comparable } from '../../functions/prove/markers.ts';
import { word } from '../../functions/prove/random.ts';
import type { Call } from '../../functions/prove/types.ts';

const answered = (name: string) => ({ status: 201, headers: {}, body: JSON.stringify({ id: 'x', name }) });
const asked = (name: string): Call => ({
  door: 'direct',
  method: 'POST',
  schema: 'v1',
  path: '/rpc/create_api_key',
  token: 'A_owner',
  body: { name },
});

test('two answers that repeat what was asked are the same, with or without a digit in it', () => {
  for (const [one, other] of [
    ['qk3fprovek3f', 'zu7bproveu7b'],
    ['qhxmfuwprovehxmfuw', 'zbcdefgprovebcdefg'],
  ] as const) {
    expect(comparable(answered(one), asked(one))).toBe(comparable(answered(other), asked(other)));
  }
});

test('an answer that repeats what nobody has is the same whatever was drawn for it', () => {
  const all = Array.from({ length: 1000 }, (_, seed) => word(12, seed, 'nobody'));
  expect(new Set(all).size).toBe(all.length);
  expect(new Set(all.map((one) => comparable(answered(one), asked(one)))).size).toBe(1);
});

test('two answers that tell what was not asked are not', () => {
  const one = comparable(answered('of acme'), asked('prove'));
  expect(one).not.toBe(comparable(answered('of globex'), asked('prove')));
});
