import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';

/** A directory that is removed when the test is over. Its path is short enough for a socket. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'rowhouse-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
