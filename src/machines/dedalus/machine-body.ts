/** Reads a machine as any generation of the API writes it: nested `status` or flat `phase`, revision in the body or as ETag. */
import type { Machine, MachinePhase } from '../provider.js';
import { isRecord } from './transport.js';
import { readId } from './values.js';

const phases: readonly string[] = [
  'accepted',
  'placement_pending',
  'starting',
  'running',
  'stopping',
  'sleeping',
  'destroying',
  'destroyed',
  'failed',
] satisfies MachinePhase[];

/** undefined where the body is not a machine. A size the body leaves out is 0. */
export function readMachine(body: unknown, etag?: string): Machine | undefined {
  if (!isRecord(body)) return undefined;
  const machineId = readId(body['machine_id']);
  if (machineId === undefined) return undefined;
  const status = isRecord(body['status']) ? body['status'] : {};
  const desired = body['desired_state'];
  const autosleep = body['autosleep_seconds'];
  return {
    machineId,
    vcpu: readNumber(body['vcpu']),
    memoryMib: readNumber(body['memory_mib']),
    storageGib: readNumber(body['storage_gib']),
    phase: readPhase(status['phase'] ?? body['phase']),
    desiredState: desired === 'running' || desired === 'sleeping' || desired === 'destroyed' ? desired : undefined,
    revision: readRevision(status['revision']) ?? etag,
    reason: readText(status['reason']),
    lastError: readText(status['last_error']),
    lastTransitionAt: readText(status['last_transition_at']),
    autosleepSeconds: typeof autosleep === 'number' ? autosleep : undefined,
  };
}

/** With and without the leading `dm-`: generations of the API differ, and so may its answers. The bare one comes first. */
export function spellingsOf(machineId: string): readonly [string, string] {
  const bare = machineId.replace(/^dm-/, '');
  return [bare, `dm-${bare}`];
}

/** The same machine, whichever way its id was spelled. */
export function sameMachineId(one: string, other: string): boolean {
  return spellingsOf(one)[0] === spellingsOf(other)[0];
}

function readPhase(value: unknown): MachinePhase {
  return typeof value === 'string' && phases.includes(value) ? (value as MachinePhase) : 'in_transition';
}

function readRevision(value: unknown): string | undefined {
  return typeof value === 'number' ? String(value) : readText(value);
}

function readText(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function readNumber(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
