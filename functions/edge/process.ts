import type { Logger } from '../log.ts';

/** Requests in hand get this long. The stack's own patience with the edge is 10 seconds. */
const DRAIN_MS = 8000;

/**
 * Runs an edge as this process. It ends on SIGTERM, SIGINT, or when the parent that it has an IPC channel to is gone:
 * nothing new is taken, what is in hand is finished.
 * @param start resolves when the edge listens, with what ends it
 */
export async function superviseEdge(log: Logger, start: () => Promise<() => Promise<void>>): Promise<void> {
  let stopping = false;
  const starting = start();

  async function stop(reason: string): Promise<void> {
    if (stopping) return;
    stopping = true;
    log.info({ reason }, 'edge draining');
    setTimeout(() => {
      log.error('requests were still running; their connections are cut');
      process.exit(1);
    }, DRAIN_MS).unref();
    await starting.then((close) => close()).catch((error) => log.error({ err: error }, 'drain failed'));
    log.info('edge stopped');
    process.exit();
  }

  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));
  if (process.connected) process.on('disconnect', () => void stop('parent gone'));

  try {
    await starting;
  } catch (error) {
    log.fatal({ err: error }, 'edge cannot start');
    process.exit(1);
  }
}
