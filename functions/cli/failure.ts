import { CommanderError } from 'commander';
import { type ErrorCode, fromDatabase, RowhouseError } from '../errors.ts';
import { colours } from './output.ts';

const REFUSED = 1;
const USAGE = 2;
const UNREACHABLE = 3;

const EXIT_CODES: Partial<Record<ErrorCode, number>> = {
  usage_invalid: USAGE,
  database_unavailable: UNREACHABLE,
  stack_running: UNREACHABLE,
  stack_missing: UNREACHABLE,
};

function asRowhouseError(error: unknown): RowhouseError {
  if (error instanceof CommanderError) {
    const detail = error.message.replace(/^error: /, '');
    return new RowhouseError('usage_invalid', {
      detail,
      hint: 'Add --help to the command to see what it takes.',
      cause: error,
    });
  }
  const known = fromDatabase(error);
  if (known instanceof RowhouseError) return known;
  return new RowhouseError('internal', {
    detail: error instanceof Error ? error.message : String(error),
    cause: error,
  });
}

/**
 * Tells on standard error what went wrong and what to do next: `error <code>: <detail>` and the hint, or one JSON object.
 * @returns the exit code: 1 refused or failed, 2 usage, 3 database or stack not reachable.
 */
export function reportFailure(error: unknown, json: boolean): number {
  const { code, title, detail, hint } = asRowhouseError(error);
  if (json) {
    process.stderr.write(`${JSON.stringify({ code, title, detail: detail ?? title, hint: hint ?? null })}\n`);
  } else {
    const { red, bold, dim } = colours(process.stderr);
    process.stderr.write(`${red(bold(`error ${code}:`))} ${detail ?? title}\n${hint ? `  ${dim(hint)}\n` : ''}`);
  }
  return EXIT_CODES[code] ?? REFUSED;
}
