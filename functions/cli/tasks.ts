import { Listr } from 'listr2';

/** Tasks that are carried out elsewhere, one after the other: a line for each, with what is being done for it. */
export interface ShownTasks {
  /** Those before it are done. */
  say(task: number, message: string): void;
  /** All are done; resolves when that is on the screen. */
  end(): Promise<void>;
}

/** Shows tasks on a terminal. */
export function showTasks(titles: readonly string[]): ShownTasks {
  const lines = titles.map((title) => {
    return { title, shown: undefined as { title: string } | undefined, ...Promise.withResolvers<void>() };
  });
  const list = new Listr(
    lines.map((line) => ({
      title: line.title,
      task: (_: unknown, task: { title: string }) => {
        line.shown = task;
        task.title = line.title;
        return line.promise;
      },
    })),
    { registerSignalListeners: false },
  );
  const run = list.run();
  return {
    say(index, message) {
      for (const before of lines.slice(0, index)) before.resolve();
      const line = lines[index];
      if (!line) return;
      line.title = `${titles[index]}: ${message}`;
      if (line.shown) line.shown.title = line.title;
    },
    async end() {
      for (const line of lines) line.resolve();
      await run;
    },
  };
}
