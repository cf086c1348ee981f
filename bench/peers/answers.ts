import type { LoadRequest } from '../load.ts';
import { type Asked, addTo, listOf, requestsOf, type Shape } from './shapes.ts';
import type { Side } from './sides.ts';

interface Answer {
  status: number;
  range: string | null;
  body: string;
}

export async function ask(origin: string, { path, method = 'GET', headers, body }: LoadRequest): Promise<Answer> {
  const answer = await fetch(`${origin}${path}`, { method, headers, body: body ?? null });
  return { status: answer.status, range: answer.headers.get('content-range'), body: await answer.text() };
}

type Row = Record<string, unknown>;

/** A row as every side can say it: PostGraphile has names and a bigint of its own, JavaScript no microseconds. */
function plainly(row: Row): Row {
  const nested = (row.jobFindingsByTenantIdAndJobId as { nodes: Row[] } | undefined)?.nodes ?? row.job_findings;
  return {
    id: row.rowId ?? row.id,
    ...(row.name === undefined ? { type: row.type } : { name: row.name, size: Number(row.size) }),
    status: row.status,
    created_at: Date.parse(String(row.createdAt ?? row.created_at)),
    ...(nested
      ? {
          findings: (nested as Row[]).map(({ ordinal, rule, severity, message }) => [ordinal, rule, severity, message]),
        }
      : {}),
  };
}

/** Rows, and their whole number where it was asked for. */
function readAnswer(
  { dialect }: Side,
  shape: Shape,
  { body, range }: Pick<Answer, 'body' | 'range'>,
): { rows: Row[]; count?: number } {
  const said = JSON.parse(body);
  if (dialect !== 'graphql') {
    const rows = [said].flat().map(plainly);
    return shape === 'embed' ? { rows, count: Number(range?.split('/')[1]) } : { rows };
  }
  if (said.errors) throw new Error(body.slice(0, 500));
  const { allFiles, allJobs, fileByTenantIdAndRowId } = said.data;
  const rows = ((allFiles ?? allJobs)?.nodes ?? [fileByTenantIdAndRowId]).map(plainly);
  return shape === 'embed' ? { rows, count: allJobs.totalCount } : { rows };
}

type Read = Exclude<Shape, 'mixed'>;

/**
 * @param jobs how many of each tenant's are asked for
 * @throws Error unless every side answers every request of the shape with the same rows as the first: to the byte where both make their
 * JSON in PostgreSQL, as values otherwise
 */
export async function checkAnswers(sides: readonly Side[], shape: Read, { jobs }: { jobs: number }): Promise<void> {
  const [first] = sides;
  if (!first) return;
  const expected = await answersOf(first, shape);
  for (const { body, range } of expected) {
    const { rows, count } = readAnswer(first, shape, { body, range });
    const whole =
      shape !== 'embed' || (count === jobs && rows.every(({ findings }) => (findings as Row[]).length === 3));
    if (!whole || rows.length !== (shape === 'by_key' ? 1 : 20)) throw new Error(`${shape}: ${first.name}\n${body}`);
  }
  for (const side of sides) {
    for (const [nth, answer] of (await answersOf(side, shape)).entries()) {
      const wanted = expected[nth] as Answer;
      if (isSame(side, shape, answer, wanted) && sameValue(side, first, shape, answer, wanted)) continue;
      throw new Error(`${shape}: ${side.name} answered\n${answer.body}\n${first.name}\n${wanted.body}`);
    }
  }
}

/** An embedded list is jsonb in PostgREST, and json in the services: other spaces, another order of keys. */
const isSame = (side: Side, shape: Read, answer: Answer, wanted: Answer) =>
  answer.body === wanted.body || (side.dialect !== 'postgrest' && (!side.jsonInPostgres || shape === 'embed'));

const sameValue = (side: Side, first: Side, shape: Read, answer: Answer, wanted: Answer) =>
  JSON.stringify(readAnswer(side, shape, answer)) === JSON.stringify(readAnswer(first, shape, wanted));

async function answersOf({ name, origin, dialect, asked }: Side, shape: Read): Promise<Answer[]> {
  const answers = [];
  for (const request of requestsOf(dialect, shape, asked)) {
    const answer = await ask(origin, request);
    if (answer.status > 299) throw new Error(`${shape}: ${name} answered ${answer.status} ${answer.body}`);
    answers.push(answer);
  }
  return answers;
}

let probes = 0;

/** @throws Error unless what each side is told to add is the newest file in its next list */
export async function checkAdding(sides: readonly Side[]): Promise<void> {
  for (const side of sides) {
    const tenant = side.probed as Asked;
    const name = `${side.name}-${probes++}.csv`;
    const { status, body } = await ask(side.origin, addTo(side.dialect, tenant, name));
    const list = await ask(side.origin, listOf(side.dialect, tenant));
    const [newest] = readAnswer(side, 'list', list).rows;
    if (status < 300 && newest?.name === name && newest.size === 1000 && newest.status === 'pending') continue;
    throw new Error(`${side.name} answered ${status} ${body}, and then as the newest ${JSON.stringify(newest)}`);
  }
}
