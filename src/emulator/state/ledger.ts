/**
 * The append-only record of everything done: each API call and each state transition, one JSON line each. Kept on disk;
 * memory holds only where each line starts.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';

export interface LedgerEntry {
  seq: number;
  /** By the emulator's clock. */
  at: string;
  wallAt: string;
  kind: string;
  machineId?: string;
  [field: string]: unknown;
}

/** An entry before it has its number and times. */
export type LedgerNote = { kind: string; machineId?: string; [field: string]: unknown };

export interface Ledger {
  /** Numbers and dates an entry without writing it; `append` must follow. */
  stamp(note: LedgerNote): LedgerEntry;
  append(entries: readonly LedgerEntry[]): void;
  /** Entries with seq > after, oldest first, at most `limit`. */
  read(after: number, limit: number): LedgerEntry[];
  lastSeq(): number;
  close(): void;
}

/** @param recovered entries found in the state journal, appended where the ledger itself was cut short */
export function openLedger(path: string, nowIso: () => string, recovered: () => readonly LedgerEntry[]): Ledger {
  const fd = openSync(path, 'a+', 0o600);
  const offsets: number[] = [];
  let size = indexLines(path, offsets);
  let written = offsets.length;
  let stamped = written;
  if (size !== fstatSync(fd).size) {
    // A torn last line: what follows starts on a line of its own, and reads skip what does not parse.
    size += writeLine(fd, '\n', fstatSync(fd).size - size);
  }

  const ledger: Ledger = {
    stamp: (note) => ({ seq: ++stamped, at: nowIso(), wallAt: new Date().toISOString(), ...note }),
    append: (entries) => {
      let text = '';
      for (const entry of entries) {
        const line = `${JSON.stringify(entry)}\n`;
        offsets.push(size);
        size += Buffer.byteLength(line);
        text += line;
        written = entry.seq;
      }
      if (text !== '') writeSync(fd, text);
    },
    read: (after, limit) => {
      const first = Math.max(0, after);
      const last = Math.min(offsets.length, first + limit);
      if (first >= last) return [];
      const start = offsets[first] ?? 0;
      const end = offsets[last] ?? size;
      const bytes = Buffer.allocUnsafe(end - start);
      readSync(fd, bytes, 0, bytes.length, start);
      return bytes.toString().split('\n').flatMap(parseLine);
    },
    lastSeq: () => written,
    close: () => closeSync(fd),
  };
  ledger.append(recovered().filter((entry) => entry.seq > written));
  stamped = Math.max(stamped, written);
  return ledger;
}

function writeLine(fd: number, text: string, torn: number): number {
  return torn + writeSync(fd, text);
}

function parseLine(line: string): LedgerEntry[] {
  if (line === '') return [];
  try {
    return [JSON.parse(line) as LedgerEntry];
  } catch {
    // The torn tail of a killed process; its entries were recovered from the journal.
    return [];
  }
}

/** Fills `offsets` with the start of each whole line; returns the length of the whole lines. */
function indexLines(path: string, offsets: number[]): number {
  const bytes = readFileSync(path);
  let start = 0;
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, start)) {
    offsets.push(start);
    start = at + 1;
  }
  return start;
}
