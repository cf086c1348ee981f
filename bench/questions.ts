import { existsSync, readdirSync } from 'node:fs';

/** Folders that hold a bench. */
export const QUESTIONS: readonly string[] = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(`${import.meta.dirname}/${entry.name}/bench.ts`))
  .map((entry) => entry.name)
  .sort();
