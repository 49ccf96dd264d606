/** What a guest finds under /etc, and the folders it may write: made anew at each cold boot. */
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GUEST_HOME } from '../constants.js';

export interface GuestFilesRequest {
  bootDir: string;
  homeDir: string;
  hostname: string;
  bootId: string;
  network: boolean;
  /** Owner on the host; undefined when the emulator is not root. */
  uid: number | undefined;
}

/** Guest folder -> folder below the boot directory. */
export const WRITABLE_DIRS: Readonly<Record<string, string>> = {
  '/etc': 'etc',
  '/home': 'home',
  '/root': 'root',
  '/workspace': 'workspace',
  '/tmp': 'tmp',
  '/var': 'var',
};

/** Pieces of the host's /etc that programs under /usr need; read-only in the guest, skipped where missing. */
export const SHARED_ETC = [
  'alternatives',
  'ca-certificates.conf',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'localtime',
  'mime.types',
  'perl',
  'protocols',
  'python3',
  'python3.11',
  'python3.12',
  'python3.13',
  'services',
  'ssl/certs',
  'ssl/openssl.cnf',
  'terminfo',
];

function readHost(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // A host without the file has nothing to hand on.
    return '';
  }
}

function etcFiles(request: GuestFilesRequest): Record<string, string> {
  const nobody = '/nonexistent:/usr/sbin/nologin';
  return {
    passwd: `root:x:0:0:root:${GUEST_HOME}:/bin/bash\nnobody:x:65534:65534:nobody:${nobody}\n`,
    group: 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n',
    hostname: `${request.hostname}\n`,
    hosts: `127.0.0.1 localhost ${request.hostname}\n::1 localhost\n`,
    'resolv.conf': request.network ? readHost('/etc/resolv.conf') : '',
    'nsswitch.conf': 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n',
    'os-release': readHost('/etc/os-release'),
    debian_version: readHost('/etc/debian_version'),
    profile: `export PATH=${GUEST_PATH}\n[ "\${PS1-}" ] && PS1='\\u@\\h:\\w\\$ '\n`,
    'bash.bashrc': `[ -z "\${PS1-}" ] || PS1='\\u@\\h:\\w\\$ '\n`,
    shells: '/bin/sh\n/bin/bash\n/usr/bin/bash\n',
  };
}

export const GUEST_PATH = `${GUEST_HOME}/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;

/**
 * Writes the boot directory of a machine about to start cold; it must not exist or be empty. Synchronous: thirty tiny
 * calls cost 2 ms this way and twenty times that through the thread pool.
 */
export function writeGuestFiles(request: GuestFilesRequest): void {
  const { bootDir, uid } = request;
  const own = (path: string): void => {
    if (uid !== undefined) chownSync(path, uid, uid);
  };
  const makeDir = (path: string, mode: number): void => {
    mkdirSync(path, { recursive: true });
    chmodSync(path, mode);
    own(path);
  };
  mkdirSync(bootDir, { recursive: true });
  chmodSync(bootDir, 0o711);
  for (const dir of Object.values(WRITABLE_DIRS)) makeDir(join(bootDir, dir), dir === 'tmp' ? 0o1777 : 0o755);
  for (const dir of ['var/tmp', 'var/log', 'var/cache', 'var/lib', 'etc/ssl']) {
    makeDir(join(bootDir, dir), dir === 'var/tmp' ? 0o1777 : 0o755);
  }
  makeDir(join(bootDir, 'home', 'machine'), 0o755);
  mkdirSync(request.homeDir, { recursive: true, mode: 0o755 });
  own(request.homeDir);
  for (const [name, text] of Object.entries(etcFiles(request))) {
    const path = join(bootDir, 'etc', name);
    writeFileSync(path, text, { mode: 0o644 });
    own(path);
  }
  writeFileSync(join(bootDir, 'boot_id'), `${request.bootId}\n`, { mode: 0o444 });
}
