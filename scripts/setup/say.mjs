/** Progress on stderr: stdout belongs to what the command answers. */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** @param {string} text one line of progress */
export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** A problem that a person has to solve: shown without a stack. */
export class SetupError extends Error {
  /**
   * @param {string} message what is wrong
   * @param {string} advice what to type or do
   */
  constructor(message, advice) {
    super(`${message}\n  ${advice}`);
    this.name = 'SetupError';
  }
}

/**
 * Runs a command to its end and answers its stdout. What it prints is shown only when it fails.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: Record<string, string | undefined>, timeoutMs?: number }} [options]
 */
export function run(command, args, options = {}) {
  const done = tryRun(command, args, options);
  if (done.ok) return done.stdout;
  throw new Error(`${command} ${args.join(' ')}\n${done.stdout}${done.stderr}`.trimEnd());
}

/**
 * As run, but answers instead of throwing.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: Record<string, string | undefined>, timeoutMs?: number }} [options]
 */
export function tryRun(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    timeout: options.timeoutMs,
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  return { ok: status === 0, stdout: stdout ?? '', stderr: error ? `${error.message}\n` : (stderr ?? '') };
}

/**
 * Runs a command to its end beside whatever else is done; what it prints is progress.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string }} [options]
 * @returns {Promise<void>}
 */
export function runBeside(command, args, { cwd } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 2, 2] });
    child.once('error', reject);
    child.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} ${args.join(' ')} ended with ${code}`)),
    );
  });
}

/**
 * The first of these programs that is on PATH, as an absolute path.
 * @param {readonly string[]} names
 */
export function findProgram(...names) {
  for (const name of names) {
    for (const folder of (process.env['PATH'] ?? '').split(delimiter).filter(Boolean)) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not in this folder: the next one is looked at.
      }
    }
  }
  return undefined;
}
