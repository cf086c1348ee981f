import type { Shape } from './shape.ts';

/** A statement that clients send: its shape, and what is known of it. */
export interface Recorded {
  shape: Shape;
  calls: number;
  /** Milliseconds, of all calls of all tenants. */
  time: number;
  /** Values of calls, each in the order of the conditions, then LIMIT; where they were recorded. */
  values?: string[][];
}

export interface Recording {
  source: 'pg_stat_statements' | 'requests' | 'none';
  statements: Recorded[];
  /** Lists that are not read: with `or`, embedded resources, functions. */
  unread: number;
  /** Milliseconds by view, of all statements, the unread ones too. */
  time: Map<string, number>;
}
