import { createInterface } from 'node:readline/promises';
import { RowhouseError } from '../errors.ts';

/**
 * Asks for a yes, on a terminal.
 * @throws RowhouseError usage_invalid where nobody can be asked, and --yes was not given
 */
export async function approved(options: { yes?: boolean; json?: boolean }, question: string): Promise<boolean> {
  if (options.yes) return true;
  if (options.json || !process.stdin.isTTY) {
    throw new RowhouseError('usage_invalid', {
      detail: 'there is no terminal to ask for approval',
      hint: 'Look at what it would do first, then add --yes.',
    });
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}
