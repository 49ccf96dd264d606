/**
 * Starts a process in a group of its own and ends it, children included. It knows nothing of what it runs.
 *
 * A group of its own keeps the terminal's Ctrl-C away from the children: whoever started them decides the order of the end.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** After the polite signal, a group gets this long before it is killed. */
export const STOP_GRACE_MS_DEFAULT = 10_000;
const OUTPUT_TAIL_BYTES_MAX = 4_000;

export interface ProcessOptions {
  /** For messages: `postgres`, `worker`, … */
  readonly label: string;
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** Output goes to the end of this file; its folder is made where missing. */
  readonly logFile: string;
  /** Stdout is handed to this line by line and not written to the log. */
  readonly onLine?: (line: string) => void;
  /** Called at once with every new process, before it is ready: whoever ends them after a crash must know them from the start. */
  readonly onSpawn?: OnSpawn;
}

export type OnSpawn = (child: { readonly label: string; readonly pid: number }) => void;

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RunningProcess {
  readonly label: string;
  readonly pid: number;
  /** Resolves once, with how it ended; never rejects. */
  readonly exited: Promise<ProcessExit>;
  hasExited(): boolean;
  /** Sends a signal to the group; does nothing once the process has ended. */
  signal(signal: NodeJS.Signals): void;
  /** Ends the group: `signal` first (default SIGTERM), SIGKILL after `graceMs`. Resolves when the process is gone. */
  stop(options?: { signal?: NodeJS.Signals; graceMs?: number }): Promise<ProcessExit>;
  /** The last lines of the log, for an error message. */
  logTail(): string;
}

/** Starts a process. Resolves once it runs; rejects when it cannot be started at all. */
export async function startProcess(options: ProcessOptions): Promise<RunningProcess> {
  mkdirSync(dirname(options.logFile), { recursive: true });
  const log = openSync(options.logFile, 'a');
  const child = spawn(options.command, options.args, {
    cwd: options.cwd,
    env: { ...options.env },
    detached: true,
    stdio: ['ignore', options.onLine ? 'pipe' : log, log],
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  closeSync(log);
  let exit: ProcessExit | undefined;
  const signalGroup = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch {
      // The group is gone, which is what every signal here is for.
    }
  };
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once('exit', (code, signal) => {
      exit = { code, signal };
      signalGroup('SIGKILL'); // What the leader left behind in its group; later its number may be another's.
      resolve(exit);
    });
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  const pid = child.pid;
  if (pid === undefined) throw new Error(`${options.label} has no process id`);
  options.onSpawn?.({ label: options.label, pid });
  if (options.onLine && child.stdout) forEachLine(child.stdout, options.onLine);

  return {
    label: options.label,
    pid,
    exited,
    hasExited: () => exit !== undefined,
    signal: (signal) => {
      if (exit === undefined) signalGroup(signal);
    },
    stop: async ({ signal = 'SIGTERM', graceMs = STOP_GRACE_MS_DEFAULT } = {}) => {
      if (exit !== undefined) return exit;
      signalGroup(signal);
      const timer = setTimeout(() => signalGroup('SIGKILL'), graceMs);
      const how = await exited;
      clearTimeout(timer);
      return how;
    },
    logTail: () => readTail(options.logFile),
  };
}

function forEachLine(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    lines.forEach(onLine);
  });
}

function readTail(file: string): string {
  try {
    return readFileSync(file, 'utf8').slice(-OUTPUT_TAIL_BYTES_MAX).trim();
  } catch {
    return ''; // No log means nothing to show; the error that asks for it says the rest.
  }
}
