/** Processes of this computer, by what their command line or working folder says. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Ids of the processes that name `text` on their command line, or work below it. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter(
      (pid) => pid !== process.pid && (read(`/proc/${pid}/cmdline`).includes(text) || folderOf(pid).includes(text)),
    );
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // It ended meanwhile.
  }
}

function folderOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return ''; // It ended meanwhile.
  }
}
