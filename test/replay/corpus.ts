/** The committed histories and their manifest. */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { PROJECT_ROOT } from '../../src/dev/paths.js';
import type { HistoryEvent } from '../workflow/support/history.js';

export const HISTORIES_DIR = join(PROJECT_ROOT, 'test', 'replay', 'histories');
const MANIFEST = 'manifest.json';
/** Stands where the name of a scenario stands, for histories of real runs. */
export const FAULT_SUITE = 'fault-suite';

export interface RecordedHistory {
  readonly file: string;
  readonly scenario: string;
  readonly workflowId: string;
  /** Of the file's bytes: a recorded history is never edited. */
  readonly sha256: string;
  /** As test/replay/coverage.ts reads it out of the file. */
  readonly covers: readonly string[];
}

export interface Manifest {
  /** Version of the SDK that each was recorded with. */
  readonly sdk: string;
  readonly histories: readonly RecordedHistory[];
}

export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

export function readManifest(): Manifest {
  return JSON.parse(readFileSync(join(HISTORIES_DIR, MANIFEST), 'utf8')) as Manifest;
}

export function writeManifest(manifest: Manifest): void {
  writeFileSync(join(HISTORIES_DIR, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Names of the history files that are there, whatever the manifest says. */
export function listHistoryFiles(): string[] {
  return readdirSync(HISTORIES_DIR).filter((file) => file.endsWith('.json') && file !== MANIFEST);
}

export function readHistoryFile(file: string): { text: string; json: unknown; events: HistoryEvent[] } {
  const text = readFileSync(join(HISTORIES_DIR, file), 'utf8');
  const json: unknown = JSON.parse(text);
  return { text, json, events: historyFromJSON(json).events ?? [] };
}
