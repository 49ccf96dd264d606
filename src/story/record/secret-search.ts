/**
 * Searches a running guest, from outside, for texts that must not be in it: its whole file system as its own processes see it,
 * and what each of its processes was given. Looking from outside keeps the texts themselves out of the guest.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface SecretSearch {
  /** Files, and files below /proc, in which one of the texts was found. */
  readonly found: readonly string[];
  readonly processes: number;
}

/** System folders of the host: a guest sees them read-only, and what is older than the keys cannot hold them. */
const SYSTEM_FOLDERS = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];
const KERNEL_FOLDERS = new Set(['proc', 'sys', 'dev']);
const PROCESS_FILES = ['environ', 'cmdline', 'mountinfo'];

/**
 * @param guest `initPid` of its process 1; `homePath` for what the files of another user's guest cannot be read through
 * @param texts what must not be there
 * @param sinceMs when the oldest of the texts came into being, ms since the epoch
 */
export async function searchGuest(
  guest: { readonly initPid: number; readonly homePath: string },
  texts: readonly string[],
  sinceMs: number,
): Promise<SecretSearch> {
  const root = `/proc/${guest.initPid}/root`;
  const folders = rootFolders(root);
  const own = folders.filter((name) => !SYSTEM_FOLDERS.includes(name)).map((name) => join(root, name));
  const system = folders.filter((name) => SYSTEM_FOLDERS.includes(name)).map((name) => join(root, name));
  const pids = processesOf(guest.initPid);
  const [inFiles, inSystem] = await Promise.all([
    grep([...own, guest.homePath], texts),
    newerFiles(system, sinceMs).then((files) => grep(files, texts)),
  ]);
  const inProcesses = pids.flatMap((pid) =>
    PROCESS_FILES.map((name) => `/proc/${pid}/${name}`).filter((file) => holdsOne(file, texts)),
  );
  return { found: [...inFiles, ...inSystem, ...inProcesses], processes: pids.length };
}

/** @throws Error where the guest's view cannot be read: a search that sees nothing would prove nothing */
function rootFolders(root: string): string[] {
  const folders = readdirSync(root).filter((name) => !KERNEL_FOLDERS.has(name));
  if (!folders.includes('home')) throw new Error(`The file system of a guest cannot be read at ${root}.`);
  return folders;
}

/** The guest's processes, by the numbers of this computer: process 1 and its descendants. */
export function processesOf(initPid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const parent = parentOf(Number(name));
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found: number[] = [];
  for (const waiting = [initPid]; waiting.length > 0;) {
    const pid = waiting.pop();
    if (pid === undefined) break;
    found.push(pid);
    waiting.push(...(children.get(pid) ?? []));
  }
  return found;
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined; // It ended meanwhile.
  }
}

function holdsOne(file: string, texts: readonly string[]): boolean {
  try {
    const content = readFileSync(file, 'latin1');
    return texts.some((text) => content.includes(text));
  } catch {
    return false; // It ended meanwhile.
  }
}

async function newerFiles(folders: readonly string[], sinceMs: number): Promise<string[]> {
  if (folders.length === 0) return [];
  const output = await run(
    'find',
    [...folders, '-xdev', '-type', 'f', '-newerct', `@${sinceMs / 1_000}`, '-print0'],
    '',
  );
  return output.split('\0').filter((path) => path !== '' && existsSync(path));
}

/** The texts travel on stdin, so that no list of processes shows them. */
async function grep(paths: readonly string[], texts: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return [];
  const args = ['-rlaFZ', '--devices=skip', '-f', '-', '--', ...paths];
  const output = await run('grep', args, texts.join('\n'));
  return output.split('\0').filter(Boolean);
}

function run(command: string, args: readonly string[], input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stdin.on('error', () => undefined); // It ended without reading all, which its output tells.
    child.once('error', reject);
    child.once('close', () => resolve(output));
    child.stdin.end(input);
  });
}
