import type { Fix, Level } from './lints.ts';

/** Something in the catalogue that a lint objects to. (lint, object) names it: the same flaw has the same name in every run. */
export interface Finding {
  lint: string;
  level: Level;
  object: string;
  title: string;
  detail: string;
  /** SQL that repairs it. */
  remedy: string;
  docs: string;
  fix: Fix;
  metadata: Record<string, unknown>;
}
