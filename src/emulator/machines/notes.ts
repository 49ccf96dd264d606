/** Ledger notes about machines. */
import type { LedgerNote } from '../state/ledger.js';
import type { MachineRecord } from '../state/records.js';

/** What an accepted change of the desired state leaves in the ledger. */
export function desiredNotes(before: MachineRecord | undefined, after: MachineRecord, cause: string): LedgerNote[] {
  const { id: machineId, desiredState, phase, revision, reason } = after;
  const notes: LedgerNote[] = [{ kind: 'machine.desired', machineId, desiredState, revision, cause }];
  if (before && before.phase !== phase) notes.push(phaseNote(before, after));
  else if (!before) notes.push({ kind: 'machine.phase', machineId, from: null, to: phase, revision, reason });
  return notes;
}

export function phaseNote(before: MachineRecord, after: MachineRecord): LedgerNote {
  const { id: machineId, phase, revision, reason } = after;
  return { kind: 'machine.phase', machineId, from: before.phase, to: phase, revision, reason };
}
