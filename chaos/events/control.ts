import { type Evidence, judge, pairOf, type Verdict } from './judge.ts';
import type { Receipt } from './model.ts';

/** How many of each are done to a record that is otherwise as it was. */
export const DONE = { lost: 7, phantom: 3, misordered: 5 };

/**
 * The control: the same record of receipts, with some left out, some put in, and some swapped. A judge that does not count exactly
 * these has seen nothing.
 * @throws Error where the run was too small to do it to
 */
export function judgeControl(evidence: Evidence): Record<keyof typeof DONE, Verdict> {
  const accepted = evidence.receipts.filter(({ accepted, verified }) => accepted && verified);
  const inReceipts = (receipts: readonly Receipt[]) => judge({ ...evidence, receipts });

  const dropped = new Set(spreadOut([...new Set(accepted.map(({ endpoint, id }) => pairOf(endpoint, id)))], DONE.lost));
  const without = evidence.receipts.filter(({ endpoint, id }) => !dropped.has(pairOf(endpoint, id)));

  const [one] = accepted as [Receipt];
  const other = accepted.find(({ endpoint }) => endpoint.tenant !== one.endpoint.tenant) as Receipt;
  const invented: Receipt[] = [
    { ...one, id: 'evt_0' },
    { ...other, endpoint: one.endpoint },
    { ...one, subject: [...evidence.written.rolledBack][0] ?? 'never committed' },
  ];

  return {
    lost: inReceipts(without),
    phantom: inReceipts([...evidence.receipts, ...invented]),
    misordered: inReceipts(swapped(evidence)),
  };
}

/** In so many orders, two neighbours the other way round; what came again is left out. */
function swapped({ receipts, dead }: Evidence): Receipt[] {
  const seen = new Set<string>();
  const first = receipts.filter((receipt) => {
    const pair = pairOf(receipt.endpoint, receipt.id);
    const counts = receipt.accepted && receipt.verified && !seen.has(pair) && !dead.has(pair);
    if (counts) seen.add(pair);
    return counts;
  });
  const inOrder = first.filter(({ endpoint }) => endpoint.ordering === 'endpoint');
  let left = DONE.misordered;
  for (const [, group] of Map.groupBy(inOrder, ({ endpoint }) => endpoint.id)) {
    const [one, two] = group;
    if (left === 0 || !one || !two) continue;
    const [at, then] = [first.indexOf(one), first.indexOf(two)];
    [first[at], first[then]] = [two, one];
    left -= 1;
  }
  if (left > 0) throw new Error('too few ordered endpoints got two events');
  return first;
}

/** So many of a list, from all over it. */
function spreadOut<T>(list: readonly T[], count: number): T[] {
  if (list.length < count) throw new Error('too few events were delivered to leave some out');
  return Array.from({ length: count }, (_, nth) => list[Math.floor((nth * list.length) / count)] as T);
}
