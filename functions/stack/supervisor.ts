import { rmSync } from 'node:fs';
import { readConfig, stackSchema } from '../config.ts';
import { RowhouseError } from '../errors.ts';
import { migrateUp } from '../migrate/dbmate.ts';
import { findPostgres, findPostgrest } from './binaries.ts';
import { type Children, createChildren } from './children.ts';
import { initialiseCluster } from './initdb.ts';
import { createDatabase, DATABASE, installRoles, prepareDatabase, seedDemoTenants } from './install.ts';
import { edgeChild, workerChild } from './node-child.ts';
import { choosePorts, freePort } from './ports.ts';
import { postgresChild, socketDirectory } from './postgres.ts';
import { postgrestChild } from './postgrest.ts';
import { enterSecondPool, secondPool } from './second-pool.ts';
import { type DatabaseUrls, databaseUrls, openSecrets, openWebhookKey } from './secrets.ts';
import { writeJson } from './state.ts';
import { takeOver } from './takeover.ts';

/** What stack.json holds while the stack is ready. */
export interface StackInfo {
  edge: string;
  postgrest: string;
  database: DatabaseUrls;
}

export interface StackOptions {
  directory: string;
  /** Removes all data first. */
  fresh?: boolean;
  /** Starts a second PostgREST, dedicated to the demo tenant globex. */
  secondPool?: boolean;
  /** Gets every log line of every child, as JSON. */
  onLog?: (json: string) => void;
}

/** One step of the start; `run` returns what to say of it when it is done. */
export interface Step {
  title: string;
  run: (progress: (message: string) => void) => Promise<string>;
}

export interface Stack {
  info: StackInfo;
  /** To be run in order. Each raises RowhouseError when it fails; then call stop(). */
  steps: readonly Step[];
  /** Stops what runs, in reverse order; `force` kills it. Safe to call at any time, and again. */
  stop: (force?: boolean) => Promise<void>;
}

/**
 * Takes the state directory and prepares a stack in it; its steps start it.
 * @throws RowhouseError stack_running, stack_failed, binary_missing, config_invalid
 */
export async function openStack(options: StackOptions): Promise<Stack> {
  const config = readConfig(stackSchema);
  const binaries = { postgres: findPostgres(), postgrest: findPostgrest(config.POSTGREST_BIN) };
  const { state, release } = await takeOver(options.directory, options.fresh ?? false);
  let children: Children | undefined;
  try {
    const secrets = await openWebhookKey(state, openSecrets(state));
    const ports = await choosePorts(state);
    const urls = databaseUrls(secrets.passwords, ports.postgres, DATABASE);
    const info: StackInfo = {
      edge: `http://127.0.0.1:${ports.edge}`,
      postgrest: `http://127.0.0.1:${ports.postgrest}`,
      database: urls,
    };
    const postgres = {
      binaries: binaries.postgres,
      dataDirectory: state.postgres,
      runDirectory: state.run,
      port: ports.postgres,
      superuserPassword: secrets.passwords.postgres,
    };
    const storage = { storageDirectory: state.storage, storageSecret: secrets.STORAGE_SECRET };
    const running = createChildren(state, options.onLog ?? (() => {}));
    children = running;
    let stopped = false;

    const steps: Step[] = [
      {
        title: 'PostgreSQL',
        async run(progress) {
          progress('making the data directory');
          await initialiseCluster(postgres);
          progress('starting');
          await running.start(postgresChild(postgres));
          return `PostgreSQL on port ${ports.postgres}`;
        },
      },
      {
        title: 'Schema',
        async run(progress) {
          const maintenance = databaseUrls(secrets.passwords, ports.postgres, 'postgres').admin;
          progress('roles');
          await installRoles(maintenance, secrets.passwords);
          await createDatabase(maintenance, DATABASE);
          await prepareDatabase(urls.admin);
          const applied = await migrateUp(urls.migrator, { onProgress: progress });
          progress('demo tenants');
          const seeded = await seedDemoTenants(urls.migrator);
          return `Schema up to date (migrations applied: ${applied.length}${seeded ? ', demo tenants added' : ''})`;
        },
      },
      {
        title: 'PostgREST',
        async run() {
          const common = {
            binary: binaries.postgrest,
            databaseUrl: urls.authenticator,
            socketDirectory: socketDirectory(postgres),
          };
          const adminPort = await freePort();
          await running.start(
            postgrestChild({ ...common, configuration: state.postgrest, port: ports.postgrest, adminPort }),
          );
          const second = options.secondPool ? await secondPool(state, common) : undefined;
          if (second) await running.start(second.child);
          await enterSecondPool(urls.migrator, second?.url);
          if (second) return `PostgREST at ${info.postgrest}, and for t_globex at ${second.url}`;
          return `PostgREST at ${info.postgrest}`;
        },
      },
      {
        title: 'Edge',
        async run() {
          const edge = { port: ports.edge, databaseUrl: urls.edge, postgrestUrl: info.postgrest, ...storage };
          await running.start(edgeChild(edge));
          return `Edge at ${info.edge}`;
        },
      },
      {
        title: 'Worker',
        async run() {
          await running.start(
            workerChild({ databaseUrl: urls.worker, webhookKey: secrets.WEBHOOK_PRIVATE_KEY, ...storage }),
          );
          writeJson(state.stack, info);
          return 'Worker';
        },
      },
    ];

    return {
      info,
      steps: steps.map((step) => ({
        title: step.title,
        async run(progress) {
          if (stopped) throw new RowhouseError('stack_failed', { detail: 'The start was interrupted.' });
          return step.run(progress);
        },
      })),
      async stop(force) {
        stopped = true;
        rmSync(state.stack, { force: true });
        await running.stop(force);
        rmSync(state.processes, { force: true });
        release();
      },
    };
  } catch (error) {
    await children?.stop();
    release();
    throw error;
  }
}
