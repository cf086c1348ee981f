import pc from 'picocolors';
import pretty from 'pino-pretty';

const BELOW_WARNING = /^\{"level":[123]0,/;

/** Shows warnings and errors of all children, readable; those of the start wait until its progress is off the screen. */
export function problemsTo(fileDescriptor: number) {
  const printer = pretty({
    colorize: pc.isColorSupported,
    minimumLevel: 'warn',
    ignore: 'pid,hostname,severity',
    destination: fileDescriptor,
    sync: true,
  });
  let waiting: string[] | undefined = [];
  let silent = false;
  return {
    write(json: string) {
      // The printer would parse each line before it leaves out those below its level.
      if (silent || BELOW_WARNING.test(json)) return;
      if (waiting) waiting.push(json);
      else printer.write(json);
    },
    open() {
      for (const line of waiting ?? []) printer.write(line);
      waiting = undefined;
    },
    /** A stack that stops complains about lost connections: that goes to the log files alone. */
    silence() {
      silent = true;
    },
  };
}
