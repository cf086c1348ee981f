import type { z } from 'zod';
import { readConfig } from './config.ts';
import { createLog, type LevelWithSilent, type Logger } from './log.ts';

/** How long a process may take to end what it has in hand. The stack waits a little longer before it kills: 10 s and 30 s. */
const PATIENCE_MS = { edge: 8000, worker: 14_000 } as const;

type Name = keyof typeof PATIENCE_MS;

function configure<Config extends { LOG_LEVEL: LevelWithSilent }>(name: Name, schema: z.ZodType<Config>) {
  try {
    const config = readConfig(schema);
    return { config, log: createLog(name, config.LOG_LEVEL) };
  } catch (error) {
    createLog(name, 'fatal').fatal({ err: error }, `${name} cannot start`);
    process.exit(1);
  }
}

/**
 * Runs an edge or a worker as this process: says when it is ready, and ends it on SIGTERM, SIGINT, or when the parent that it has
 * an IPC channel to is gone. Nothing new is taken then; what is in hand is finished. What is not finished in time is cut off:
 * clients see a closed connection, and another worker takes the jobs over when their heartbeats are missed.
 * @param schema of the part of the environment that it reads; one that does not fit ends the process, naming each variable
 * @param start resolves when the process is ready, with what ends it
 * @param delayMs for how long it goes on as before when it is told to end
 */
export async function superviseProcess<Config extends { LOG_LEVEL: LevelWithSilent }>(
  name: Name,
  schema: z.ZodType<Config>,
  start: (config: Config, log: Logger) => Promise<{ stop(): Promise<void> }>,
  delayMs: (config: Config) => number = () => 0,
): Promise<void> {
  const { config, log } = configure(name, schema);
  let stopping = false;
  const starting = start(config, log);

  async function stop(reason: string): Promise<void> {
    if (stopping) return;
    stopping = true;
    log.info({ reason }, `${name} stopping`);
    setTimeout(() => {
      log.error(`${name} still had work in hand when its time was over`);
      process.exit(1);
    }, PATIENCE_MS[name] + delayMs(config)).unref();
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
  // The stack waits for this line, whatever the level.
  if (!stopping) log.child({}, { level: 'info' }).info(`${name} ready`);
}
