/** Processes of the runner on a local machine. */
import { readFileSync } from 'node:fs';
import { waitFor } from '../../support/wait-for.js';
import type { LocalMachine } from './local-machine.js';

/** Kills those that play this part of the runner, and waits until they do nothing any more. */
export async function killRunners(machine: LocalMachine, part: 'run' | 'serve'): Promise<void> {
  const pids = machine.processes().filter((pid) => {
    const argv = (readProcess(pid, 'cmdline') ?? '').split('\0');
    return /runner-[0-9a-f]+\.sh$/.test(argv[1] ?? '') && argv[2] === part;
  });
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
  await waitFor('the killed to be gone', () => pids.every((pid) => / [ZX] |^$/.test(stateOf(pid))));
}

function readProcess(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return undefined; // It ended meanwhile.
  }
}

/** State of a process with blanks around it; empty where there is none. */
function stateOf(pid: number): string {
  const stat = readProcess(pid, 'stat') ?? '';
  return stat === '' ? '' : ` ${stat.charAt(stat.lastIndexOf(')') + 2)} `;
}
