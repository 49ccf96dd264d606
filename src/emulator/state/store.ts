/**
 * State in memory, journalled to `state.jsonl`. One commit is one line: the change, the answer stored under its
 * idempotency key, and its ledger entries survive a kill -9 together or not at all. (Not power loss: no fsync.)
 */
import { closeSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { EXECUTIONS_KEPT_PER_MACHINE_MAX, IDEMPOTENCY_KEYS_KEPT_MAX, STATE_COMPACTION_BYTES } from '../constants.js';
import { TERMINALS_KEPT_PER_MACHINE_MAX } from '../constants.js';
import { createClock, type EmulatorClock } from './clock.js';
import { openLedger, type Ledger, type LedgerEntry, type LedgerNote } from './ledger.js';
import type { Commit, EmulatorRecord, ExecutionRecord, IdempotencyRecord } from './records.js';
import type { MachineRecord, ResourceRecord, TerminalRecord } from './records.js';

interface JournalLine {
  c: Commit;
  l?: LedgerEntry[];
}

export class Store {
  readonly machines = new Map<string, MachineRecord>();
  readonly executions = new Map<string, Map<string, ExecutionRecord>>();
  readonly terminals = new Map<string, Map<string, TerminalRecord>>();
  readonly resources = new Map<string, ResourceRecord>();
  readonly idempotency = new Map<string, IdempotencyRecord>();
  readonly clock: EmulatorClock;
  readonly ledger: Ledger;
  emulator: EmulatorRecord | undefined;
  #previous = new Map<string, MachineRecord>();
  #path: string;
  #fd: number;
  #size = 0;

  constructor(dataDir: string) {
    this.#path = join(dataDir, 'state.jsonl');
    const recovered: LedgerEntry[] = [];
    for (const line of readLines(this.#path)) {
      this.#apply(line.c);
      if (line.l) recovered.push(...line.l);
    }
    this.clock = createClock(this.emulator?.clock);
    this.ledger = openLedger(
      join(dataDir, 'ledger.jsonl'),
      () => this.clock.nowIso(),
      () => recovered,
    );
    this.#fd = this.#compact();
  }

  /** Makes a change durable and visible, and notes it in the ledger. */
  commit(change: Commit, ...notes: LedgerNote[]): void {
    const entries = notes.map((note) => this.ledger.stamp(note));
    const line: JournalLine = entries.length === 0 ? { c: change } : { c: change, l: entries };
    const text = `${JSON.stringify(line)}\n`;
    writeSync(this.#fd, text);
    this.#size += text.length;
    this.ledger.append(entries);
    this.#apply(change);
    if (this.#size > STATE_COMPACTION_BYTES) {
      closeSync(this.#fd);
      this.#fd = this.#compact();
    }
  }

  /** The record before its last change, as a stale replica would have it. */
  previousMachine(machineId: string): MachineRecord | undefined {
    return this.#previous.get(machineId);
  }

  /** For what changes no state: API calls, faults, admin actions. */
  note(note: LedgerNote): void {
    this.ledger.append([this.ledger.stamp(note)]);
  }

  close(): void {
    this.clock.stop();
    closeSync(this.#fd);
    this.ledger.close();
  }

  #apply(change: Commit): void {
    const { machine, execution, terminal, resource, idempotency } = change;
    if (machine) {
      const before = this.machines.get(machine.id);
      if (before) this.#previous.set(machine.id, before);
      this.machines.set(machine.id, machine);
    }
    if (execution) keep(this.executions, execution, EXECUTIONS_KEPT_PER_MACHINE_MAX, (old) => old.completedAt !== null);
    if (terminal) keep(this.terminals, terminal, TERMINALS_KEPT_PER_MACHINE_MAX, (old) => old.status !== 'ready');
    if (resource) this.resources.set(resource.id, resource);
    if (idempotency) {
      this.idempotency.set(idempotency.key, idempotency);
      if (this.idempotency.size > IDEMPOTENCY_KEYS_KEPT_MAX) this.#forgetOldestKey();
    }
    if (change.emulator) this.emulator = change.emulator;
    if (change.forgottenMachine !== undefined) {
      this.executions.delete(change.forgottenMachine);
      this.terminals.delete(change.forgottenMachine);
      for (const [id, record] of this.resources) {
        if (record.machineId === change.forgottenMachine) this.resources.delete(id);
      }
    }
  }

  #forgetOldestKey(): void {
    for (const key of this.idempotency.keys()) {
      this.idempotency.delete(key);
      return;
    }
  }

  /** Rewrites the journal as one line per live record, then opens it for appending. */
  #compact(): number {
    const changes: Commit[] = [];
    if (this.emulator) changes.push({ emulator: this.emulator });
    for (const machine of this.machines.values()) changes.push({ machine });
    for (const group of this.executions.values()) for (const execution of group.values()) changes.push({ execution });
    for (const group of this.terminals.values()) for (const terminal of group.values()) changes.push({ terminal });
    for (const resource of this.resources.values()) changes.push({ resource });
    for (const idempotency of this.idempotency.values()) changes.push({ idempotency });
    const text = changes.map((c) => `${JSON.stringify({ c })}\n`).join('');
    const temporary = `${this.#path}.new`;
    writeFileSync(temporary, text, { mode: 0o600 });
    renameSync(temporary, this.#path);
    this.#size = text.length;
    return openSync(this.#path, 'a', 0o600);
  }
}

function keep<T extends { id: string; machineId: string }>(
  groups: Map<string, Map<string, T>>,
  record: T,
  max: number,
  mayForget: (old: T) => boolean,
): void {
  let group = groups.get(record.machineId);
  if (!group) groups.set(record.machineId, (group = new Map()));
  group.set(record.id, record);
  if (group.size <= max) return;
  for (const [id, old] of group) {
    if (mayForget(old)) {
      group.delete(id);
      return;
    }
  }
}

function readLines(path: string): JournalLine[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return text.split('\n').flatMap((line) => {
    if (line === '') return [];
    try {
      return [JSON.parse(line) as JournalLine];
    } catch {
      // The torn last line of a killed process: that change was never acknowledged.
      return [];
    }
  });
}
