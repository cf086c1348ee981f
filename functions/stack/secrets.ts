import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { RowhouseError } from '../errors.ts';
import { readJson, type StateDirectory, writeJson } from './state.ts';

export const LOGIN_ROLES = ['rowhouse_migrator', 'authenticator', 'rowhouse_worker', 'rowhouse_edge'] as const;
export type LoginRole = (typeof LOGIN_ROLES)[number];
export type Passwords = Record<'postgres' | LoginRole, string>;

export interface Secrets {
  passwords: Passwords;
  STORAGE_SECRET: string;
}

/** Secrets of a stack, and the key that opens those of webhook endpoints. */
export interface StackSecrets extends Secrets {
  WEBHOOK_PRIVATE_KEY: string;
}

/** Hexadecimal, so that it needs no quoting in a URL, a configuration file or SQL. */
const random = () => randomBytes(24).toString('hex');

export function createSecrets(): Secrets {
  return {
    passwords: {
      postgres: random(),
      rowhouse_migrator: random(),
      authenticator: random(),
      rowhouse_worker: random(),
      rowhouse_edge: random(),
    },
    STORAGE_SECRET: random(),
  };
}

/**
 * The secrets of this stack, made at its first start.
 * @throws RowhouseError stack_failed when the data is there but its passwords are not.
 */
export function openSecrets(state: StateDirectory): Secrets {
  const stored = readJson<Secrets>(state.secrets);
  if (stored) return stored;
  if (existsSync(state.postgres)) {
    throw new RowhouseError('stack_failed', {
      detail: `${state.postgres} holds a database, but ${state.secrets} with its passwords is missing or damaged.`,
      hint: 'Put the file back, or begin anew with --fresh, which removes the data.',
    });
  }
  const secrets = createSecrets();
  writeJson(state.secrets, secrets);
  return secrets;
}

/**
 * Adds the key that the worker opens webhook secrets with, where there is none yet. It is apart from the others because making it
 * takes a fifth of a second or more, which stacks for tests and comparisons have no use for.
 */
export async function openWebhookKey(state: StateDirectory, secrets: Secrets): Promise<StackSecrets> {
  const { WEBHOOK_PRIVATE_KEY: known } = secrets as Partial<StackSecrets>;
  if (known) return { ...secrets, WEBHOOK_PRIVATE_KEY: known };
  // Loaded where it is needed: many commands read a stack's secrets, and the library takes 25 ms and 10 MB.
  const { generateKeyPair } = await import('../worker/webhooks/outgoing/secrets.ts');
  const { privateKey } = await generateKeyPair();
  const all = { ...secrets, WEBHOOK_PRIVATE_KEY: privateKey };
  writeJson(state.secrets, all);
  return all;
}

export interface DatabaseUrls {
  admin: string;
  migrator: string;
  authenticator: string;
  worker: string;
  edge: string;
}

/** Connection URLs of each login role; admin is the superuser. */
export function databaseUrls(passwords: Passwords, port: number, database: string): DatabaseUrls {
  const url = (role: keyof Passwords) => `postgresql://${role}:${passwords[role]}@127.0.0.1:${port}/${database}`;
  return {
    admin: url('postgres'),
    migrator: url('rowhouse_migrator'),
    authenticator: url('authenticator'),
    worker: url('rowhouse_worker'),
    edge: url('rowhouse_edge'),
  };
}
