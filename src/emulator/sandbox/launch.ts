/**
 * The command line of a sandbox: bubblewrap under an unprivileged uid, all namespaces new, only system folders of the
 * host visible and read-only. Dropping the uid first matters: host uid 0 could write kernel settings from any namespace.
 */
import { existsSync, lstatSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { GUEST_HOME } from '../constants.js';
import { GUEST_PATH, SHARED_ETC, WRITABLE_DIRS } from './guest-files.js';
import { findProgram, isReachableByAnyUser, type DataLayout } from './layout.js';

export interface LaunchRequest {
  layout: DataLayout;
  bootDir: string;
  homeDir: string;
  hostname: string;
  network: boolean;
  /** Program and arguments to run as process 1; the init script when absent. */
  command?: readonly string[];
}

export interface LaunchPlan {
  file: string;
  args: string[];
  /** For the spawn call itself; undefined when the uid is dropped later by the command line. */
  spawnUid: number | undefined;
}

const PRIVATE_MOUNT_POINT = '/mnt';
const GUEST_INIT_PATH = '/run/init.pl';

function systemDirArgs(): string[] {
  const args = ['--ro-bind', '/usr', '/usr'];
  for (const dir of ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32']) {
    if (!existsSync(dir)) continue;
    if (lstatSync(dir).isSymbolicLink()) args.push('--symlink', readlinkSync(dir), dir);
    else args.push('--ro-bind', dir, dir);
  }
  return args;
}

function bubblewrapArgs(request: LaunchRequest, view: (path: string) => string): string[] {
  const args = ['--unshare-all', ...(request.network ? ['--share-net'] : [])];
  args.push('--uid', '0', '--gid', '0', '--die-with-parent', '--new-session', '--as-pid-1');
  args.push('--hostname', request.hostname, '--clearenv', '--setenv', 'PATH', GUEST_PATH);
  args.push(...systemDirArgs());
  for (const [guest, dir] of Object.entries(WRITABLE_DIRS))
    args.push('--bind', view(join(request.bootDir, dir)), guest);
  args.push('--bind', view(request.homeDir), GUEST_HOME);
  for (const name of SHARED_ETC) args.push('--ro-bind-try', `/etc/${name}`, `/etc/${name}`);
  args.push('--proc', '/proc', '--ro-bind', view(join(request.bootDir, 'boot_id')), '/proc/sys/kernel/random/boot_id');
  args.push('--dev', '/dev', '--tmpfs', '/sys', '--tmpfs', '/run');
  args.push('--ro-bind', view(request.layout.initScript), GUEST_INIT_PATH, '--chdir', GUEST_HOME);
  return args;
}

/**
 * @param uid the unprivileged uid to drop to; undefined when the emulator itself is unprivileged
 * @param infoFd descriptor on which bubblewrap reports the host pid of process 1
 */
export function planLaunch(request: LaunchRequest, uid: number | undefined, infoFd: number | undefined): LaunchPlan {
  const bwrap = requireProgram('bwrap', 'apt-get install bubblewrap');
  const perl = requireProgram('perl', 'apt-get install perl-base');
  const command = request.command ?? [perl, GUEST_INIT_PATH];
  const info = infoFd === undefined ? [] : ['--info-fd', String(infoFd)];
  const { dataDir } = request.layout;
  if (uid === undefined || isReachableByAnyUser(dataDir)) {
    return {
      file: bwrap,
      args: [...bubblewrapArgs(request, (path) => path), ...info, '--', ...command],
      spawnUid: uid,
    };
  }
  // The data folder lies below a private folder (/root): mount it where the guest's uid can walk to, for this tree only.
  const view = (path: string): string => PRIVATE_MOUNT_POINT + path.slice(dataDir.length);
  const drop = ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups', '--'];
  const script = `mount --bind "$1" ${PRIVATE_MOUNT_POINT} && shift && cd / && exec "$@"`;
  const inner = [...drop, bwrap, ...bubblewrapArgs(request, view), ...info, '--', ...command];
  const args = ['--mount', '--propagation', 'private', '--', 'sh', '-c', script, 'sh', dataDir, ...inner];
  return { file: requireProgram('unshare', 'apt-get install util-linux'), args, spawnUid: undefined };
}

export class MissingProgramError extends Error {}

function requireProgram(name: string, advice: string): string {
  const path = findProgram(name);
  if (path === undefined) throw new MissingProgramError(`The emulator needs "${name}". Type (as root): ${advice}`);
  return path;
}
