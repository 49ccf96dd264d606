/** Processes of a guest are killed, found from outside: its shell, the runner of its command, or all of them. */
import { readFileSync } from 'node:fs';
import { processesOf } from '../../../src/story/record/secret-search.js';

/** Host pids of the guest's runner script in one of its parts: `serve` behind the terminal, `run` around a command. */
export function runnersOf(initPid: number, part: 'serve' | 'run'): number[] {
  return processesOf(initPid).filter((pid) => {
    const argv = argvOf(pid);
    const script = argv.findIndex((word) => /\/runner-[0-9a-f]+\.sh$/.test(word));
    return script >= 0 && argv[script + 1] === part;
  });
}

function argvOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return []; // It ended meanwhile.
  }
}

/** @returns how many of them were there */
export function killAll(pids: readonly number[]): number {
  return pids.filter((pid) => {
    try {
      return process.kill(pid, 'SIGKILL');
    } catch {
      return false; // It ended meanwhile.
    }
  }).length;
}
