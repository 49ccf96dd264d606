/** Records to wire bodies, per profile. The only place that knows the shape of an answer. */
import type { ExecutionRecord, MachineRecord, ResourceRecord, TerminalRecord } from '../state/records.js';
import { WAKE_RETRY_AFTER_MS } from '../constants.js';
import type { Profile } from '../options.js';
import { PROFILE_RULES } from './profiles.js';

export type Body = Record<string, unknown>;

/** `detail`: GET of one machine. `mutation`: every change and stream event. `item`: an element of the list. */
export type MachineView = 'detail' | 'mutation' | 'item';

export function machineBody(profile: Profile, machine: MachineRecord, view: MachineView): Body {
  const rules = PROFILE_RULES[profile];
  const body: Body = {
    machine_id: machine.id,
    vcpu: machine.vcpu,
    memory_mib: machine.memoryMib,
    storage_gib: machine.storageGib,
    desired_state: machine.desiredState,
  };
  if (rules.hasAutosleep) body['autosleep_seconds'] = machine.autosleepSeconds;
  if (view === 'item') body['created_at'] = machine.createdAt;
  if (rules.hasFlatBodies && view !== 'detail') body['phase'] = machine.phase;
  else body['status'] = statusBody(profile, machine);
  return body;
}

function statusBody(profile: Profile, machine: MachineRecord): Body {
  const status: Body = {
    phase: machine.phase,
    reason: machine.reason,
    retryable: machine.retryable,
    revision: String(machine.revision),
    last_transition_at: machine.lastTransitionAt,
    last_progress_at: machine.lastProgressAt,
  };
  if (machine.lastError !== null) status['last_error'] = machine.lastError;
  if (PROFILE_RULES[profile].hasReboot) {
    status['memory_configured_mib'] = machine.memoryMib;
    status['memory_resize_state'] = 'stable';
    if (machine.phase === 'running') status['memory_assigned_mib'] = machine.memoryMib;
  }
  return status;
}

/** Quoted, as HTTP demands; what the vendor does is not known. */
export function etag(machine: MachineRecord): string {
  return `"${machine.revision}"`;
}

export function executionBody(profile: Profile, execution: ExecutionRecord): Body {
  const body: Body = {
    execution_id: execution.id,
    machine_id: execution.machineId,
    status: execution.status,
    command: execution.command,
    created_at: execution.createdAt,
  };
  put(body, 'started_at', execution.startedAt);
  put(body, 'completed_at', execution.completedAt);
  put(body, 'exit_code', execution.exitCode);
  put(body, 'signal', execution.signal);
  put(body, 'error_code', execution.errorCode);
  put(body, 'error_message', execution.errorMessage);
  put(body, 'cwd', execution.cwd);
  const envKeys = Object.keys(execution.env);
  if (envKeys.length > 0) body['env_keys'] = envKeys;
  if (execution.status === 'wake_in_progress') body['retry_after_ms'] = WAKE_RETRY_AFTER_MS;
  if (hasRun(execution)) Object.assign(body, outputCounts(execution));
  if (PROFILE_RULES[profile].hasExecutionLogs) body['log_capture'] = logCapture(execution);
  return body;
}

export function logCapture(execution: ExecutionRecord): Body {
  const state = execution.completedAt === null ? 'pending' : 'unavailable';
  return { state, lost_bytes: '0', unconfirmed_bytes: '0' };
}

function outputCounts(execution: ExecutionRecord): Body {
  return {
    stdout_bytes: execution.stdoutBytes,
    stderr_bytes: execution.stderrBytes,
    stdout_truncated: execution.stdoutTruncated,
    stderr_truncated: execution.stderrTruncated,
  };
}

/** The output of a refusal holds its id alone. */
export function outputBody(execution: ExecutionRecord, output: { stdout: string; stderr: string }): Body {
  if (!hasRun(execution)) return { execution_id: execution.id };
  return { execution_id: execution.id, stdout: output.stdout, stderr: output.stderr, ...outputCounts(execution) };
}

function hasRun(execution: ExecutionRecord): boolean {
  return execution.completedAt !== null && execution.startedAt !== null;
}

/** @param wsBase `ws://host:port` as the client reached us */
export function terminalBody(terminal: TerminalRecord, wsBase: string): Body {
  const body: Body = {
    terminal_id: terminal.id,
    machine_id: terminal.machineId,
    status: terminal.status,
    created_at: terminal.createdAt,
    width: terminal.width,
    height: terminal.height,
    protocol: 'websocket',
  };
  put(body, 'ready_at', terminal.readyAt);
  put(body, 'error_code', terminal.errorCode);
  put(body, 'error_message', terminal.errorMessage);
  if (terminal.status === 'wake_in_progress') body['retry_after_ms'] = WAKE_RETRY_AFTER_MS;
  if (terminal.status === 'wake_in_progress' || terminal.status === 'ready') {
    const path = `/v1/machines/${terminal.machineId}/terminals/${terminal.id}/stream`;
    body['stream_url'] = `${wsBase}${path}?token=${terminal.token}`;
  }
  return body;
}

const RESOURCE_ID_FIELDS = {
  preview: 'preview_id',
  port: 'port_id',
  ssh: 'session_id',
  artifact: 'artifact_id',
} as const;

export function resourceBody(record: ResourceRecord): Body {
  const body: Body = {
    [RESOURCE_ID_FIELDS[record.kind]]: record.id,
    machine_id: record.machineId,
    created_at: record.createdAt,
    ...record.fields,
  };
  if (record.kind === 'artifact') return body;
  body['status'] = record.status;
  put(body, 'ready_at', record.readyAt);
  put(body, 'error_code', record.errorCode);
  put(body, 'error_message', record.errorMessage);
  if (record.status === 'wake_in_progress') body['retry_after_ms'] = WAKE_RETRY_AFTER_MS;
  return body;
}

function put(body: Body, key: string, value: unknown): void {
  if (value !== null && value !== undefined) body[key] = value;
}
