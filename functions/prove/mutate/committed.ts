import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type pg from 'pg';
import pino from 'pino';
import { readConfig, stackSchema } from '../../config.ts';
import { connected } from '../../database.ts';
import { RowhouseError } from '../../errors.ts';
import { diffCatalogues, readCatalogue } from '../../migrate/catalogue.ts';
import { findPostgrest } from '../../stack/binaries.ts';
import { createChild } from '../../stack/child.ts';
import { freePort } from '../../stack/ports.ts';
import { postgrestChild } from '../../stack/postgrest.ts';
import type { DatabaseUrls } from '../../stack/secrets.ts';
import { prove } from '../run.ts';
import type { Finding } from '../types.ts';
import type { Death, Mutant } from './types.ts';

const told = ({ kind, at, detail }: Finding) => `${kind}: ${at}: ${detail}`;
const keyOf = ({ kind, at }: Finding) => `${kind} ${at}`;

/** A PostgREST in front of a copy, for as long as `work` takes: one that has just read the catalogue. */
async function withPostgrest<T>(urls: DatabaseUrls, work: (postgrest: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(path.join(tmpdir(), 'rowhouse-mutate-'));
  const port = await freePort();
  const child = createChild(
    postgrestChild({
      binary: findPostgrest(readConfig(stackSchema).POSTGREST_BIN),
      configuration: path.join(directory, 'postgrest.conf'),
      port,
      adminPort: await freePort(),
      databaseUrl: urls.authenticator,
      poolSize: 4,
    }),
    { log: pino({ level: 'silent' }), restart: false, onLine: () => {} },
  );
  try {
    await child.start();
    return await work(`http://127.0.0.1:${port}`);
  } finally {
    await child.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

function proveCopy(urls: DatabaseUrls, seed: number): Promise<Finding[]> {
  return withPostgrest(urls, async (postgrest) => {
    const target = { database: urls.migrator, postgrest, sessions: [urls.authenticator, urls.worker, urls.edge] };
    const { findings } = await prove(target, { seed, quick: true, stopAtFirstLeak: true });
    return findings;
  });
}

/** Judges a mutant that is committed: by prove as it is run by hand, over HTTP and in sessions of the logins. */
export interface CommittedJudge {
  judge(mutant: Mutant): Promise<Death>;
}

/**
 * @param urls of a copy that nobody else works in
 * @throws RowhouseError internal where the copy leaks as it is, or a mutant could not be taken back: it is another one from then on
 */
export async function openCommitted(urls: DatabaseUrls, seed: number): Promise<CommittedJudge> {
  const fingerprint = () => connected(urls.admin, (client: pg.Client) => readCatalogue(client));
  const before = await fingerprint();
  const found = await proveCopy(urls, seed);
  // It would stop there with each mutant as well, and what comes after would never be asked.
  const leak = found.find(({ kind }) => kind === 'leak');
  if (leak) {
    const hint = `Run: rowhouse prove --quick --seed ${seed}`;
    throw new RowhouseError('internal', { detail: `The copy leaks as it is: ${told(leak)}`, hint });
  }
  const known = new Set(found.map(keyOf));
  const run = (sql: string) => connected(urls.admin, (client) => client.query(sql));
  const proved = async (): Promise<Death> => {
    try {
      const found = (await proveCopy(urls, seed)).find((finding) => !known.has(keyOf(finding)));
      return found && { by: 'prove', what: told(found) };
    } catch (error) {
      // What stops the prover, or the API, does not go unnoticed either.
      return { by: 'prove', what: `it cannot run: ${(error as RowhouseError).detail ?? (error as Error).message}` };
    }
  };
  return {
    async judge(mutant) {
      if (mutant.undo === null) return undefined;
      await run(mutant.sql);
      const death = await proved();
      await run(mutant.undo);
      const left = diffCatalogues(before, await fingerprint());
      if (left.length === 0) return death;
      const detail = `${mutant.element}, ${mutant.how}, was not taken back: ${left.slice(0, 3).join('; ')}`;
      throw new RowhouseError('internal', { detail });
    },
  };
}
