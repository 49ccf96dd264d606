/**
 * The port to whoever keeps the machines. One adapter today: dedalus/. No policy here: when to wake, what to retry and what a
 * conflict means for a lane is decided by the activities.
 *
 * Every method throws InnkeeperError with one of: PROVIDER_UNAVAILABLE, PROVIDER_RATE_LIMITED (both with `retryAfterMs` where
 * the provider gave a hint), PROVIDER_UNAUTHORIZED, PROVIDER_REFUSED, PROVIDER_KEY_REUSED, and what its own comment names.
 */

/** Phases as the provider reports them; anything else it says is `in_transition`. */
export type MachinePhase =
  | 'accepted'
  | 'placement_pending'
  | 'starting'
  | 'running'
  | 'stopping'
  | 'sleeping'
  | 'destroying'
  | 'destroyed'
  | 'failed'
  | 'in_transition';

export interface MachineSize {
  readonly vcpu: number;
  readonly memoryMib: number;
  readonly storageGib: number;
}

export interface Machine extends MachineSize {
  /** Opaque; given back exactly as the provider spelled it. */
  readonly machineId: string;
  readonly phase: MachinePhase;
  readonly desiredState: 'running' | 'sleeping' | 'destroyed' | undefined;
  /** Present whenever the provider gave one (body, else ETag); sent back as If-Match. */
  readonly revision: string | undefined;
  readonly reason: string | undefined;
  readonly lastError: string | undefined;
  /** When the machine came into its phase, by the provider's clock, ISO 8601; undefined in flat bodies. */
  readonly lastTransitionAt: string | undefined;
  /** 0: off. undefined: the API has no such field. */
  readonly autosleepSeconds: number | undefined;
}

export interface CreateMachineRequest extends MachineSize {
  /** The provider's own dead man's switch; the adapter leaves it out where the API has none. */
  readonly autosleepSeconds: number | undefined;
}

/** For a request that changes something: its stored idempotency key (one per route, body and If-Match). */
export interface MutationOptions {
  readonly idempotencyKey: string;
  readonly signal?: AbortSignal;
}

export interface RevisionOptions extends MutationOptions {
  /** Revision of the machine as read; undefined where there is none. */
  readonly ifMatch: string | undefined;
}

export interface ListOptions {
  readonly cursor?: string;
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

export interface ExecutionRequest {
  readonly argv: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** Provider-side limit, ms. */
  readonly timeoutMs: number;
}

/** A command that is over. `exitCode` undefined: killed by `signal`, or `expired`; with neither, the provider does not know. */
export interface ExecutionResult {
  readonly executionId: string;
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  readonly expired: boolean;
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutTruncated: boolean;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export interface TerminalRequest extends TerminalSize {
  readonly shell?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * A byte stream to a shell on the machine. Nothing here promises delivery: what is written may be lost or doubled by the
 * network. Ends once, by `closed`.
 */
export interface Terminal {
  readonly terminalId: string;
  /** Sends bytes as one frame. Throws GUEST_UNREACHABLE when the socket is no longer open. */
  write(bytes: Uint8Array): void;
  /** Written and not yet on its way. */
  readonly unsentBytes: number;
  /** Tells the shell how large its window is. */
  resize(size: TerminalSize): void;
  /** While paused no output is taken, so that the machine's own terminal fills up and its writers wait. */
  pause(isPaused: boolean): void;
  /** Called for every piece of output, in order. One listener. */
  onOutput(listener: (bytes: Uint8Array) => void): void;
  /** Resolves when the stream has ended, whatever ended it; never rejects. */
  readonly closed: Promise<{ readonly code: number | undefined; readonly reason: string }>;
  /** Closes the socket and asks the provider to end the shell; never rejects. */
  close(): Promise<void>;
}

export interface MachineProvider {
  /** Provider kinds without terminals answer false: executions then carry everything. Settles at the first answer of the provider. */
  hasTerminals(): boolean;
  /** True where the API takes an autosleep at creation; false: assume 300 s and touch the machine. */
  readonly takesAutosleep: boolean;
  /**
   * Finds out, by requests that change nothing, whether the API takes an autosleep; `create` does so by itself. Worth calling at
   * start: until then `takesAutosleep` is a guess.
   */
  settle(signal?: AbortSignal): Promise<void>;

  create(request: CreateMachineRequest, options: MutationOptions): Promise<Machine>;
  /** undefined: the provider knows no such machine (404), or says it is destroyed. */
  find(machineId: string, options?: { signal?: AbortSignal }): Promise<Machine | undefined>;
  /** One page; what cannot be read as a machine is left out of it. */
  list(options?: ListOptions): Promise<{ machines: Machine[]; nextCursor: string | undefined }>;
  /** Every way in which this machine's id may be spelled, the one to compare by first: lists and answers differ. */
  spellingsOf(machineId: string): readonly [string, ...string[]];
  /**
   * Asks for `running`. Where the route is closed to our key it wakes by a no-op execution.
   * @throws REVISION_CONFLICT, MACHINE_INVALID_STATE, MACHINE_LOST (404)
   */
  wake(machineId: string, options: RevisionOptions): Promise<Machine>;
  /** Asks for `sleeping`. @throws REVISION_CONFLICT, MACHINE_INVALID_STATE, MACHINE_LOST, PROVIDER_ROUTE_CLOSED (left to autosleep) */
  sleep(machineId: string, options: RevisionOptions): Promise<Machine>;
  /** Asks for the end. Resolves when the provider has committed it, even where it answered 5xx. @throws REVISION_CONFLICT */
  destroy(machineId: string, options: RevisionOptions): Promise<void>;

  /**
   * Runs argv on the machine and waits for its end. Wakes a sleeping machine. Aborting ends the wait, not the command.
   * @throws GUEST_UNREACHABLE (the platform refused: not routable yet, runner not prepared; with `details.refused` the command
   *   never ran and the key is spent: try again with a new one), MACHINE_LOST
   */
  execute(machineId: string, request: ExecutionRequest, options: MutationOptions): Promise<ExecutionResult>;
  /**
   * Opens a new terminal and its stream; waits until it is ready. Wakes a sleeping machine. Try again with a new key.
   * @throws GUEST_UNREACHABLE, MACHINE_LOST, PROVIDER_ROUTE_CLOSED (no terminals here: `hasTerminals` is false from now on)
   */
  openTerminal(machineId: string, request: TerminalRequest, options: MutationOptions): Promise<Terminal>;
}

/** What may be done with a machine that is awake; its life is left to others. */
export type MachineAccess = Pick<MachineProvider, 'hasTerminals' | 'execute' | 'openTerminal'>;
