import { beforeAll, describe, expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { classify, type Finding, RULES } from '../../functions/diff/classify.ts';
import { withScratchDatabase } from '../../functions/diff/scratch.ts';
import { withTemporaryServer } from '../../functions/diff/server.ts';
import { diffWalls, readWall, type Wall } from '../../functions/diff/wall.ts';
import { type Case, COLUMNS, FUNCTIONS, KEYS, POLICIES, RELATIONS, TRIGGERS } from './cases.ts';
import { CLUSTER, GRANTS, REST } from './grant-cases.ts';

const AREAS = { RELATIONS, COLUMNS, POLICIES, KEYS, FUNCTIONS, TRIGGERS, GRANTS, CLUSTER, REST };
const CASES: Case[] = Object.values(AREAS).flat();

let before: Wall;
let after: Wall;
let there: Finding[];
let back: Finding[];

/** All alterations at once, in a cluster of its own: some are of roles, which every database of a cluster shares. */
beforeAll(async () => {
  await withTemporaryServer((server) =>
    withScratchDatabase(server, { kind: 'book', label: 'book' }, (url) =>
      connected(url, async (client) => {
        const run = async ({ name }: Case, sql: string, superuser = false) => {
          await client.query(superuser ? 'reset role' : 'set role rowhouse_owner');
          await client.query(sql).catch((cause) => {
            throw new Error(`${name}: ${cause.message}`, { cause });
          });
        };
        for (const one of CASES) if (one.setup) await run(one, one.setup);
        before = await readWall(client);
        for (const one of CASES) await run(one, one.alter, one.superuser);
        after = await readWall(client);
      }),
    ),
  );
  there = classify(diffWalls(before, after));
  back = classify(diffWalls(after, before));
});

const line = ({ level, rule, what }: Finding) => `${level} ${rule}: ${what}`;
const WORD = '[a-z0-9]';
const isAbout = ({ name }: Case, what: string) => {
  const escaped = name.replaceAll(/[.()]/g, String.raw`\$&`);
  return new RegExp(`(?<!${WORD}|_)${escaped}(?!${WORD})`).test(what);
};
const about = (one: Case, findings: Finding[]) => findings.filter(({ what }) => isAbout(one, what)).map(line);

for (const [area, cases] of Object.entries(AREAS)) {
  describe(area.toLowerCase(), () => {
    test.each(cases.map((one) => [one.name, one] as const))('judges %s, there and back', (_name, one) => {
      expect(about(one, there).sort()).toEqual([...one.there].sort());
      expect(about(one, back).sort()).toEqual([...one.back].sort());
    });
  });
}

test('says nothing else', () => {
  const expected = CASES.flatMap((one) => one.there).sort();
  expect(there.map(line).sort()).toEqual(expected);
  expect(back.map(line).sort()).toEqual(CASES.flatMap((one) => one.back).sort());
});

test('says nothing of a wall that did not change', () => {
  expect(diffWalls(after, after)).toEqual([]);
  expect(classify([])).toEqual([]);
});

test('puts the dangerous first', () => {
  const order = { dangerous: 0, review: 1, safe: 2 };
  const levels = there.map(({ level }) => order[level]);
  expect(levels).toEqual(levels.toSorted());
});

test('has seen every rule judge a real change', () => {
  const seen = new Set([...there, ...back].map(({ rule }) => rule));
  expect(RULES.map(({ id }) => id).filter((id) => !seen.has(id))).toEqual([]);
});

test('leaves a change that no rule knows to a person', () => {
  const change = { kind: 'portal', name: 'x', change: 'added', facts: {}, was: {} } as const;
  expect(classify([change]).map(line)).toEqual(['review unknown: portal x added']);
});

test('gives every rule an id of its own and one sentence', () => {
  expect(new Set(RULES.map(({ id }) => id)).size).toBe(RULES.length);
  for (const { why } of RULES) expect(why).toMatch(/^[A-Z][^\n]*\.$/);
});
