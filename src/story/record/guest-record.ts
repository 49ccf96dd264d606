/** The guest's own record, read from its home folder on this computer: the runner's journal, and the user's files. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** One command, as the runner's journal on the machine has it. */
export interface JournalledCommand {
  readonly cmdId: string;
  /** Records of a start; more than one would mean that it ran twice. */
  readonly starts: number;
  readonly startedAtMs: number;
  /** null: no result (yet). */
  readonly endedAtMs: number | null;
  readonly exitCode: number | null;
  readonly outputHash: string | null;
  readonly bootId: string;
}

const JOURNAL = join('.innkeeper', 'journal');
const STARTED = '.started';

/** Every command that was started on the machine, in order of its start. */
export function readJournal(homePath: string): JournalledCommand[] {
  const folder = join(homePath, JOURNAL);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(STARTED))
    .map((name) => readCommand(folder, name.slice(0, -STARTED.length)))
    .sort((one, other) => one.startedAtMs - other.startedAtMs);
}

export function findCommand(homePath: string, cmdId: string): JournalledCommand | undefined {
  return readJournal(homePath).find((command) => command.cmdId === cmdId);
}

/** Begun, and neither over nor given up: two looks, where reading the journal would be many. */
export function isJournalledRunning(homePath: string, cmdId: string): boolean {
  const file = join(homePath, JOURNAL, cmdId);
  return existsSync(file + STARTED) && !existsSync(`${file}.result`) && !existsSync(`${file}.void`);
}

function readCommand(folder: string, cmdId: string): JournalledCommand {
  const starts = readFileSync(join(folder, cmdId + STARTED), 'utf8')
    .split('\n')
    .filter(Boolean);
  const started = readFields(starts[0] ?? '');
  const resultFile = join(folder, `${cmdId}.result`);
  const result = existsSync(resultFile) ? readFields(readFileSync(resultFile, 'utf8')) : undefined;
  return {
    cmdId,
    starts: starts.length,
    startedAtMs: Number(started['at']),
    bootId: started['boot'] ?? '',
    endedAtMs: result === undefined ? null : Number(result['ended']),
    exitCode: result?.['exit'] ? Number(result['exit']) : null,
    outputHash: result?.['hash'] ?? null,
  };
}

/** A record is one line of `key=value` words. */
function readFields(line: string): Record<string, string> {
  return Object.fromEntries(
    line
      .trim()
      .split(' ')
      .filter((word) => word.includes('='))
      .map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
  );
}

/** Lines of a file below the home; none where there is no such file. */
export function readLines(homePath: string, file: string): string[] {
  const path = join(homePath, file);
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
}

/** SHA-256 of every file below the home by its path, the runner's own left out. */
export function hashFiles(homePath: string): Map<string, string> {
  const hashes = new Map<string, string>();
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      const name = relative(homePath, path);
      if (name === '.innkeeper') continue;
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile()) hashes.set(name, createHash('sha256').update(readFileSync(path)).digest('hex'));
    }
  };
  walk(homePath);
  return hashes;
}
