import { spawnSync } from 'node:child_process';
import { chownSync, readFileSync, statSync } from 'node:fs';
import { RowhouseError } from '../errors.ts';

/** How to run a program as somebody else than root. */
export interface Account {
  /** Words to put before the command. */
  prefix: readonly string[];
  /** For `spawn`, and for the ownership of the files that the program needs. */
  ids?: { uid: number; gid: number };
}

const USER_NAMESPACE = ['unshare', '--user', '--map-user=1000', '--map-group=1000'];

/**
 * The account PostgreSQL runs as, since it refuses root: the user who starts the stack; for root a user namespace,
 * in which root's own files stay readable; where those are refused, an unprivileged account of the machine.
 * @param dataDirectory where it exists already, its owner decides
 * @throws RowhouseError stack_failed when root has neither
 */
export function postgresAccount(dataDirectory: string): Account {
  if (process.getuid?.() !== 0) return { prefix: [] };
  const owner = ownerOf(dataDirectory);
  if (owner !== undefined && owner.uid !== 0) return { prefix: [], ids: owner };
  const [unshare = '', ...options] = USER_NAMESPACE;
  if (spawnSync(unshare, [...options, 'true'], { stdio: 'ignore' }).status === 0) return { prefix: USER_NAMESPACE };
  const ids = unprivilegedAccount();
  if (ids) return { prefix: [], ids };
  throw new RowhouseError('stack_failed', {
    detail: 'PostgreSQL refuses to run as root, user namespaces are not allowed here, and there is no other account.',
    hint: 'Run the stack as an ordinary user.',
  });
}

/** Hands files over to the account, also back to root's own from an earlier start as another. */
export function giveTo(account: Account, ...files: string[]): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = account.ids ?? { uid: 0, gid: 0 };
  for (const file of files) chownSync(file, uid, gid);
}

/** Words that make the kernel signal the program when the process that started it dies; none where it cannot. */
export function diesWithParent(signal: 'INT' | 'TERM'): readonly string[] {
  if (process.platform !== 'linux') return [];
  const words = ['setpriv', '--pdeathsig', signal, '--'];
  return spawnSync('setpriv', [...words.slice(1), 'true'], { stdio: 'ignore' }).status === 0 ? words : [];
}

function ownerOf(path: string): { uid: number; gid: number } | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat && { uid: stat.uid, gid: stat.gid };
}

/** Whoever called sudo, else PostgreSQL's usual account, else nobody. */
function unprivilegedAccount(): { uid: number; gid: number } | undefined {
  const { SUDO_UID, SUDO_GID } = process.env;
  if (SUDO_UID && SUDO_GID && SUDO_UID !== '0') return { uid: Number(SUDO_UID), gid: Number(SUDO_GID) };
  const accounts = new Map<string, { uid: number; gid: number }>();
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name = '', , uid, gid] = line.split(':');
    accounts.set(name, { uid: Number(uid), gid: Number(gid) });
  }
  return accounts.get('postgres') ?? accounts.get('nobody');
}
