import Table from 'cli-table3';
import pc from 'picocolors';

type Stream = NodeJS.WriteStream;

/** Colours where people read, none in pipes and files. */
export function colours(stream: Stream = process.stdout) {
  return pc.createColors(stream.isTTY === true && pc.isColorSupported);
}

const PLAIN = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** A table: with lines on a terminal, aligned columns elsewhere. */
export function table(head: string[], rows: string[][]): string {
  const terminal = process.stdout.isTTY === true;
  const style = { head: [], border: [], compact: true, ...(terminal ? {} : { 'padding-left': 0, 'padding-right': 0 }) };
  const drawn = new Table({ head: head.map(colours().bold), style, ...(terminal ? {} : { chars: PLAIN }) });
  drawn.push(...rows);
  return drawn
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '')
    .join('\n');
}

/** Prints a result: the value itself with --json, else what `human` says. */
export function print(json: boolean | undefined, value: unknown, human: () => string): void {
  process.stdout.write(`${json ? JSON.stringify(value) : human()}\n`);
}

/** Says on standard error what goes on, unless a machine is listening. */
export function progress(json: boolean | undefined): (message: string) => void {
  return (message) => {
    if (!json) process.stderr.write(`${colours(process.stderr).dim(message)}\n`);
  };
}
