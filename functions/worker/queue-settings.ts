import type { JobSettings } from '../job-settings.ts';

/** The queues of pg-boss: how long a message is kept there, how often it is delivered, and how soon a dead worker is noticed. */

export const DEAD = 'job.dead';
export const PURGE = 'storage.purge';
/** No type's: those begin with `job.`. */
export const LATER = 'jobs.later';
export const queueName = (type: string): string => `job.${type}`;

/** What a message that waits may not outlive: pg-boss deletes older ones, which would lose a job. */
const KEEP_WAITING = 10 * 365 * 86_400;
/** A dead worker's job is retried after at most HEARTBEAT + MONITOR + the first backoff (2 s) + POLL seconds. */
export const HEARTBEAT = 10; // the smallest that pg-boss takes
export const MONITOR = 2;
export const POLL = 1;

const SETTLED = { retentionSeconds: KEEP_WAITING, deleteAfterSeconds: 6 * 3600, notify: true };
export const JOB_QUEUE = {
  ...SETTLED,
  // Not how often a job is tried, which is app.jobs.max_attempts: a delivery can be lost before its job has begun.
  retryLimit: 20,
  retryDelay: 1,
  retryBackoff: true,
  retryDelayMax: 5,
  expireInSeconds: 3600,
  heartbeatSeconds: HEARTBEAT,
  deadLetter: DEAD,
};
export const PURGE_QUEUE = { ...JOB_QUEUE, retryLimit: 12, retryDelayMax: 3600, expireInSeconds: 600 };
export const DEAD_QUEUE = { retentionSeconds: KEEP_WAITING, deleteAfterSeconds: 0 };

/** What a type declares, as pg-boss wants it: the deliveries of its jobs are spaced and end as its attempts do. */
export const queueOf = ({ maxAttempts, backoffSeconds, maxBackoffSeconds, timeoutSeconds }: JobSettings) => ({
  ...JOB_QUEUE,
  retryLimit: Math.max(JOB_QUEUE.retryLimit, 2 * maxAttempts),
  retryDelay: backoffSeconds,
  retryDelayMax: maxBackoffSeconds,
  // The runner ends an attempt at its timeout; this is for one whose worker lives on without doing so.
  expireInSeconds: timeoutSeconds + 60,
});

/** A tenant's messages are a group: what runs of one is limited by its tier. */
export const groupOf = (id: string, tier: string | null | undefined) => ({
  group: { id, ...(tier ? { tier } : {}) },
});
