import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What takes longest, longest first: begun last, one of these would run on alone, on one processor of two. */
const LONGEST = [
  'prove/mutate',
  'prove/reference',
  'faults/jobs',
  'prove/command',
  'prove/mistakes',
  'prove/flaws',
  'functions/tune',
  'faults/ledger',
  'webhooks/key-rotation',
  'prove/unknown-schema',
  'jobs/types',
  'webhooks/order-invariant',
  'webhooks/circuit-reset',
  'edge/limits',
  'functions/cli',
  'doctor/lints',
  'diff/points',
  'jobs/dead-letters',
  'functions/tune-interrupted',
  'events/command',
  'jobs/dead-letters-api',
  'edge/stream-pressure',
];

/** Begins with the files that take longest; what is left comes as Vitest would have it. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const found = LONGEST.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return found === -1 ? LONGEST.length : found;
    };
    return (await super.sort(files)).toSorted((left, right) => place(left) - place(right));
  }
}
