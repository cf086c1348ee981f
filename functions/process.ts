import type { Logger } from './log.ts';

/** How long a process may take to end what it has in hand. The stack waits a little longer before it kills: 10 s and 30 s. */
const PATIENCE_MS = { edge: 8000, worker: 14_000 } as const;

/**
 * Runs an edge or a worker as this process: says when it is ready, and ends it on SIGTERM, SIGINT, or when the parent that it has
 * an IPC channel to is gone. Nothing new is taken then; what is in hand is finished. What is not finished in time is cut off:
 * clients see a closed connection, and another worker takes the jobs over when their heartbeats are missed.
 * @param start resolves when the process is ready, with what ends it
 */
export async function superviseProcess(
  name: keyof typeof PATIENCE_MS,
  log: Logger,
  start: () => Promise<{ stop(): Promise<void> }>,
): Promise<void> {
  let stopping = false;
  const starting = start();

  async function stop(reason: string): Promise<void> {
    if (stopping) return;
    stopping = true;
    log.info({ reason }, `${name} stopping`);
    setTimeout(() => {
      log.error(`${name} still had work in hand when its time was over`);
      process.exit(1);
    }, PATIENCE_MS[name]).unref();
    await starting.then((started) => started.stop()).catch((error) => log.error({ err: error }, 'stop failed'));
    log.info(`${name} stopped`);
    process.exit();
  }

  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));
  if (process.connected) process.on('disconnect', () => void stop('parent gone'));

  try {
    await starting;
  } catch (error) {
    log.fatal({ err: error }, `${name} cannot start`);
    process.exit(1);
  }
  if (!stopping) log.info(`${name} ready`);
}
