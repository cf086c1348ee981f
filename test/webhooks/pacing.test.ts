import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createPacing, type EndTurn } from '../../functions/worker/webhooks/pacing.ts';

let pacing: ReturnType<typeof createPacing>;
let begun: { name: string; end: EndTurn }[];

beforeEach(() => {
  vi.useFakeTimers();
  pacing = createPacing();
  begun = [];
});
afterEach(() => vi.useRealTimers());

function want(name: string): void {
  void pacing.turn().then((end) => begun.push({ name, end }));
}
const names = () => begun.map(({ name }) => name);
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

test('keeps nobody waiting while a backlog is alone', async () => {
  want('read');
  want('record');
  await pass(0);
  expect(names()).toEqual(['read', 'record']);
});

test('lets pieces of work begin one after the other while the machine is shared, with a rest half as long again', async () => {
  pacing.share();
  want('read');
  want('record');
  await pass(8);
  expect(names()).toEqual(['read']);
  begun[0]?.end();
  await pass(11);
  expect(names()).toEqual(['read']);
  await pass(2);
  expect(names()).toEqual(['read', 'record']);
});

test('begins nothing for a moment after something urgent, and does not wait for what comes again and again', async () => {
  pacing.share();
  pacing.hold();
  want('read');
  await pass(8);
  pacing.hold();
  expect(names()).toEqual([]);
  await pass(3);
  expect(names()).toEqual(['read']);
});

test('keeps no other piece waiting for one that does not end', async () => {
  pacing.share();
  want('read');
  want('record');
  await pass(190);
  expect(names()).toEqual(['read']);
  await pass(70);
  expect(names()).toEqual(['read', 'record']);
  // It ends after all: that is nobody's turn but its own.
  want('dispatch');
  begun[0]?.end();
  await pass(50);
  expect(names()).toEqual(['read', 'record']);
});

test('leaves a backlog alone again a while after the last of the others', async () => {
  pacing.share();
  expect(pacing.isShared()).toBe(true);
  await pass(3001);
  expect(pacing.isShared()).toBe(false);
  want('read');
  want('record');
  await pass(0);
  expect(names()).toEqual(['read', 'record']);
});
