/** Proves, inside a real sandbox, what the emulator promises about isolation; it refuses to serve otherwise. */
import { rmSync } from 'node:fs';
import { EmulatorStartError } from '../options.js';
import type { Guardian } from './guardian.js';
import { writeGuestFiles } from './guest-files.js';
import { MissingProgramError } from './launch.js';
import type { DataLayout } from './layout.js';
import { Sandbox } from './sandbox.js';

const CORE_PATTERN = '/proc/sys/kernel/core_pattern';

/** Prints one line for each broken promise. Writing back the same value is harmless where it succeeds. */
const CHECK_SCRIPT = `
pattern=$(cat ${CORE_PATTERN})
if (printf '%s' "$pattern" > ${CORE_PATTERN}) 2>/dev/null; then echo "a guest can write ${CORE_PATTERN}"; fi
if [ -e "$1" ]; then echo "a guest can see the host's files"; fi
if (: > /usr/.innkeeper-check) 2>/dev/null; then echo "a guest can write system folders"; fi
if [ "$(id -u)" != 0 ]; then echo "a guest is not root in its own namespace"; fi
echo checked
`;

/** @param uid as for machines: an unprivileged one when the emulator is root */
export async function checkIsolation(layout: DataLayout, uid: number | undefined, guardian: Guardian): Promise<void> {
  const paths = layout.machine('self-check');
  rmSync(paths.root, { recursive: true, force: true });
  try {
    const hostname = 'self-check';
    const bootId = '00000000-0000-4000-8000-000000000000';
    writeGuestFiles({ bootDir: paths.boot, homeDir: paths.home, hostname, bootId, network: false, uid });
    const request = { layout, bootDir: paths.boot, homeDir: paths.home, hostname, network: false };
    const sandbox = await Sandbox.boot(request, uid, guardian);
    const output = await runCheck(sandbox, layout.canary);
    await sandbox.kill();
    if (output !== 'checked')
      throw new EmulatorStartError(`The isolation check failed, so nothing is served: ${output}`);
  } catch (error) {
    if (error instanceof EmulatorStartError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof MissingProgramError) throw new EmulatorStartError(message, { cause: error });
    const advice = 'Unprivileged user namespaces must be allowed (sysctl kernel.unprivileged_userns_clone=1).';
    throw new EmulatorStartError(`No sandbox can be started on this host. ${message}\n${advice}`, { cause: error });
  } finally {
    rmSync(paths.root, { recursive: true, force: true });
  }
}

function runCheck(sandbox: Sandbox, canary: string): Promise<string> {
  return new Promise((resolve) => {
    let output = '';
    const request = { argv: ['/bin/sh', '-c', CHECK_SCRIPT, 'sh', canary], cwd: '/', env: { PATH: '/usr/bin:/bin' } };
    sandbox.startCommand(request, undefined, {
      onData: (_stream, bytes) => (output += bytes.toString()),
      onClosed: (end) => resolve(end.kind === 'exited' ? output.trim() : `the check did not run (${end.kind})`),
    });
  });
}
