import { connected } from '../database.ts';
import { fromDatabase, RowhouseError } from '../errors.ts';
import { classify, type Finding } from './classify.ts';
import { type Point, parsePoint } from './points.ts';
import { withScratchDatabase } from './scratch.ts';
import { withTemporaryServer } from './server.ts';
import { diffWalls, readWall, type Wall } from './wall.ts';

export interface DiffOptions {
  /** A superuser's URL of the server for scratch databases. Default: a temporary server. */
  server?: string | undefined;
  /** The migrations. */
  dir?: string;
  onProgress?: (message: string) => void;
}

export interface WallDiff {
  from: string;
  to: string;
  changes: Finding[];
  dangerous: number;
  review: number;
  safe: number;
}

/**
 * Compares the walls of two databases or points of the migrations, and judges each change.
 * @param from, to as parsePoint() reads them
 * @throws RowhouseError usage_invalid, permission_denied, schema_missing, migration_invalid, migration_failed, book_invalid
 */
export async function diffPoints(from: string, to: string, options: DiffOptions = {}): Promise<WallDiff> {
  const points = [await parsePoint(from, options.dir), await parsePoint(to, options.dir)] as const;
  const [before, after] = await withServer(points, options, async (server) => [
    await wallOf(points[0], server, options),
    await wallOf(points[1], server, options),
  ]);
  const changes = classify(diffWalls(before, after));
  const count = (level: Finding['level']) => changes.filter((change) => change.level === level).length;
  return {
    from: points[0].label,
    to: points[1].label,
    changes,
    dangerous: count('dangerous'),
    review: count('review'),
    safe: count('safe'),
  };
}

type Walls = [Wall, Wall];

async function withServer(
  points: readonly Point[],
  { server, onProgress }: DiffOptions,
  work: (server: string | undefined) => Promise<Walls>,
): Promise<Walls> {
  if (server !== undefined || points.every(({ kind }) => kind === 'database')) return work(server);
  onProgress?.('starting a temporary PostgreSQL for the scratch databases');
  return withTemporaryServer(work);
}

async function wallOf(point: Point, server: string | undefined, { onProgress }: DiffOptions): Promise<Wall> {
  const read = (url: string) => connected(url, readWall);
  if (point.kind === 'database')
    return read(point.url).catch((error) => Promise.reject(unreadable(error, point.label)));
  if (server === undefined) throw new Error('a scratch database has no server');
  onProgress?.(`building ${point.label}`);
  return withScratchDatabase(server, point, read);
}

/** Which of the two it was. */
function unreadable(error: unknown, label: string): unknown {
  const known = fromDatabase(error);
  if (known instanceof RowhouseError && known.code === 'permission_denied') {
    return new RowhouseError('permission_denied', {
      detail: `${label}: ${(error as Error).message}`,
      hint: 'Connect as rowhouse_migrator, or as a superuser: others do not see the whole catalogue.',
      cause: error,
    });
  }
  const refused = /^28|^3D000/.test((error as { code?: string }).code ?? '');
  if (!refused && !(known instanceof RowhouseError && known.code === 'database_unavailable')) return error;
  return new RowhouseError('database_unavailable', {
    detail: `${label}: ${(error as Error).message || 'does not answer'}`,
    hint: 'See that it runs, and that the URL has its login and password.',
    cause: error,
  });
}
