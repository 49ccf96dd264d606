/** What the emulator remembers. Plain JSON: each record is written to the journal as it stands. */

export type DesiredState = 'running' | 'sleeping' | 'destroyed';

export type Phase =
  | 'accepted'
  | 'placement_pending'
  | 'starting'
  | 'running'
  | 'stopping'
  | 'sleeping'
  | 'destroying'
  | 'destroyed'
  | 'failed';

/** Times are ISO 8601 with milliseconds, by the emulator's clock. */
export interface MachineRecord {
  id: string;
  createdAt: string;
  vcpu: number;
  memoryMib: number;
  storageGib: number;
  autosleepSeconds: number;
  desiredState: DesiredState;
  phase: Phase;
  reason: string;
  retryable: boolean;
  lastError: string | null;
  revision: number;
  lastTransitionAt: string;
  lastProgressAt: string;
  /** Null until the first boot. */
  bootId: string | null;
  /** Asleep with its memory kept. */
  isFrozen: boolean;
  guestUid: number | null;
  awake: AwakeInterval[];
  ramAutoresizing: boolean;
  /** Set while an injected fault or a reserved input holds the machine in placement_pending. */
  stuckReason: string | null;
  /** A reboot was asked for and not done yet. */
  rebootPending: 'graceful' | 'forced' | null;
}

/** From entering `running` until `sleeping`, `destroying` or `failed`. */
export interface AwakeInterval {
  startedAt: string;
  endedAt: string | null;
}

export type ExecutionStatus =
  'wake_in_progress' | 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'expired';

export interface ExecutionRecord {
  id: string;
  machineId: string;
  command: string[];
  cwd: string | null;
  env: Record<string, string>;
  stdin: string | null;
  timeoutMs: number;
  status: ExecutionStatus;
  createdAt: string;
  startedAt: string | null;
  completedAt: string | null;
  exitCode: number | null;
  signal: number | null;
  errorCode: string | null;
  errorMessage: string | null;
  stdoutBytes: number;
  stderrBytes: number;
  stdoutTruncated: boolean;
  stderrTruncated: boolean;
  /** Small output in place; larger output is in a file named after the execution. */
  chunks: OutputChunk[] | null;
}

export interface OutputChunk {
  at: string;
  stream: 'stdout' | 'stderr';
  text: string;
}

export type SessionStatus = 'wake_in_progress' | 'ready' | 'closed' | 'expired' | 'failed';

export interface TerminalRecord {
  id: string;
  machineId: string;
  status: SessionStatus;
  createdAt: string;
  readyAt: string | null;
  width: number;
  height: number;
  shell: string;
  cwd: string;
  env: Record<string, string>;
  /** Makes `stream_url` usable without headers. */
  token: string;
  errorCode: string | null;
  errorMessage: string | null;
}

/** Previews, ports, SSH sessions and artifacts: records without behaviour of their own. */
export interface ResourceRecord {
  kind: 'preview' | 'port' | 'ssh' | 'artifact';
  id: string;
  machineId: string;
  status: SessionStatus;
  createdAt: string;
  readyAt: string | null;
  errorCode: string | null;
  errorMessage: string | null;
  isDeleted: boolean;
  /** The wire fields particular to the kind. */
  fields: Record<string, unknown>;
}

export interface IdempotencyRecord {
  key: string;
  requestHash: string;
  status: number;
  headers: Record<string, string>;
  body: unknown;
}

/** Facts about the emulator as a whole. */
export interface EmulatorRecord {
  clock: { anchorWallMs: number; anchorMs: number; rate: number };
  settings: Record<string, unknown>;
  nextGuestUid: number;
  orgAutoresizing: boolean;
}

/** Everything one accepted change writes; it reaches the disk as one line or not at all. */
export interface Commit {
  machine?: MachineRecord;
  execution?: ExecutionRecord;
  terminal?: TerminalRecord;
  resource?: ResourceRecord;
  idempotency?: IdempotencyRecord;
  emulator?: EmulatorRecord;
  forgottenMachine?: string;
}
