/**
 * As root, finds the user that a server which refuses to run as root is run by, and builds the command line for it.
 * As anybody else, everything runs as oneself.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Preferred first: Debian's own account for Postgres, made where missing; then the account that every system has. */
const ACCOUNT_NAMES = ['postgres', 'nobody'] as const;

/** The account for Postgres; undefined where this process is not root and needs none. */
export function findServerAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  if (readAccount(ACCOUNT_NAMES[0]) === undefined) {
    try {
      execFileSync('useradd', ['--system', '--user-group', '--no-create-home', ACCOUNT_NAMES[0]], { stdio: 'ignore' });
    } catch {
      // No useradd here: the second name does as well.
    }
  }
  const account = ACCOUNT_NAMES.map(readAccount).find((found) => found !== undefined);
  if (account === undefined) throw new Error(`none of the accounts ${ACCOUNT_NAMES.join(', ')} exists on this system`);
  return account;
}

function readAccount(name: string): Account | undefined {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
}

/**
 * Command line that runs `command` as the account. Where the account may not pass through a folder above one of `paths` (a clone
 * below /root), it is given the one capability that lets it search folders; otherwise none.
 */
export function runAs(account: Account | undefined, command: readonly string[], paths: readonly string[]): string[] {
  if (account === undefined) return [...command];
  const reachable = paths.every((path) => canReach(account, path));
  return [
    ...['setpriv', `--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups'],
    ...(reachable ? [] : ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search']),
    ...['--', ...command],
  ];
}

function canReach(account: Account, path: string): boolean {
  for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
    const { mode, uid, gid } = statSync(folder);
    const searchBit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & searchBit) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}
