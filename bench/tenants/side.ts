import type { LoadRequest } from '../load.ts';
import type { Pace } from './migration.ts';

/** Milliseconds. */
export interface Creation {
  /** Until the database has it. */
  madeMs: number;
  /** Until its first request was answered. */
  usableMs: number;
}

/** One way to keep 1,000 tenants apart. */
export interface Side {
  name: 'rowhouse' | 'schema_per_tenant';
  title: string;
  origin: string;
  /** The 20 newest files of tenants in turn, the first one not among them. */
  requests: readonly LoadRequest[];
  createTenant(): Promise<Creation>;
  /** To every tenant's table of files. */
  addColumn(name: string, pace: Pace): Promise<void>;
  /** So that clients see it. */
  addColumnToApi(name: string): Promise<void>;
  /** Begins a transaction that has read the first tenant's files. @returns what ends it */
  holdTransaction(): Promise<() => Promise<unknown>>;
}

/** A first request that needs what PostgREST keeps of the schema: the relationship between two tables. */
const FIRST = '/files?select=id,jobs(id)&limit=1';
const PATIENCE_MS = 120_000;

/** Asks until there is an answer. @throws Error where it takes more than two minutes */
export async function firstAnswer(origin: string, headers: Record<string, string>): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = await fetch(`${origin}${FIRST}`, { headers });
    const body = await answer.text();
    if (answer.ok) return;
    if (performance.now() > end) throw new Error(`a new tenant was answered ${answer.status}: ${body}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export const NEWEST = '/files?select=id,name,size,status,created_at&order=created_at.desc,id.desc&limit=20';
/** Of each tenant that exists before anything is measured. */
export const FILES = 20;
/** Whom readers ask. */
export const ASKED = 100;

/** @throws Error unless all sides answer each request with the same files; ids and times are their own */
export async function checkAnswers(sides: readonly Side[]): Promise<void> {
  const answers = await Promise.all(sides.map(answersOf));
  for (const [nth, answer] of answers.entries()) {
    if (answer === answers[0] && JSON.parse(answer).length === ASKED) continue;
    throw new Error(
      `${sides[nth]?.name} answers ${answer.slice(0, 300)}\n${sides[0]?.name} ${answers[0]?.slice(0, 300)}`,
    );
  }
}

async function answersOf({ origin, requests }: Side): Promise<string> {
  const answers = [];
  for (const { path, headers } of requests) {
    const files = (await (await fetch(`${origin}${path}`, { headers })).json()) as Record<string, unknown>[];
    if (files.length !== FILES) throw new Error(`${origin} answers ${JSON.stringify(files).slice(0, 300)}`);
    answers.push(files.map(({ name, size, status }) => [name, size, status]));
  }
  return JSON.stringify(answers);
}
