/**
 * The port to what runs inside a machine. A command runs at most once: the runner on the machine journals every command under
 * its id, so that any later attempt, by any worker, finds what became of it.
 */

/** One command, as the journal binds it to its id. */
export interface GuestCommand {
  readonly cmdId: string;
  /** SHA-256 (hex) of the canonical script, limits and kind: a second submission with another hash is a conflict. */
  readonly bodyHash: string;
  /** Run by bash in the user's shell context (directory and exported environment). */
  readonly script: string;
  /** Line to append to ~/.bash_history; undefined for tools that are not commands of the user's shell. */
  readonly historyLine: string | undefined;
  readonly timeoutMs: number;
  readonly outputHeadBytes: number;
  readonly outputTailBytes: number;
}

/** Where an id stands, as the machine's journal says. */
export type CommandStatus =
  | { readonly kind: 'absent' }
  | { readonly kind: 'running'; readonly outputBytes: number }
  | { readonly kind: 'finished'; readonly result: CommandResult }
  /** A tombstone: settled without a result; it will never run (again). */
  | { readonly kind: 'void'; readonly reason: VoidReason; readonly output: CommandOutput };

/** Why a command was settled without a result of its own. */
export type VoidReason = 'stopped_before_start' | 'runner_died' | 'boot_changed' | 'disk_rolled_back';

export interface CommandOutput {
  /** Bytes the command wrote in all; head and tail are what was kept. */
  readonly totalBytes: number;
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
}

export interface CommandResult {
  /** undefined when ended by a signal. */
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  readonly timedOut: boolean;
  readonly stopped: boolean;
  /** SHA-256 (hex) of the kept output bytes (head followed by tail) as stored on the machine. */
  readonly outputHash: string;
  readonly output: CommandOutput;
  /** By the machine's clock, ms since the epoch. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

export interface GuestIdentity {
  /** Opaque; changes with every boot. */
  readonly bootId: string;
  readonly home: string;
}

export interface SubmitOptions {
  /** Boot id stored at the first submission of this command; undefined: never submitted before. */
  readonly submittedBootId: string | undefined;
  readonly signal: AbortSignal;
  /** Called as output arrives, with bytes written so far; at most a few times a second. */
  readonly onProgress?: (progress: { readonly outputBytes: number }) => void;
  /** Who wants the output as it comes. */
  readonly output?: OutputListener;
}

/** Hears the beginning of an output as it comes, LIVE_OUTPUT_BYTES_MAX at most, in order and without gaps, perhaps not to its end. */
export interface OutputListener {
  /** Bytes heard so far. */
  readonly offset: number;
  hear(bytes: Uint8Array): void;
}

export interface StopOptions {
  readonly signal: AbortSignal;
  /** Boot id stored at the first submission: under another boot the outcome is unknown, and so recorded. */
  readonly submittedBootId: string | undefined;
  /** Gap between INT, TERM and KILL. */
  readonly graceMs?: number;
}

/**
 * A worker's exclusive hold on one boot of one machine: its own raw terminal, or executions where there are none. A higher
 * attachment number fences out lower ones.
 */
export interface GuestAttachment {
  readonly identity: GuestIdentity;
  readonly attachment: number;
  /** True once the channel broke or was fenced: attach anew. */
  readonly isBroken: boolean;
  /**
   * Submits the command unless the journal knows it, and waits for its end, following guest-commands.md's lookup table.
   * Resolves with `finished` or `void`, never with `absent` or `running`.
   * @throws InnkeeperError GUEST_UNREACHABLE (channel lost: attach again and call again), GUEST_CONFLICT (hash or owner differ),
   *   ATTACHMENT_FENCED; the signal's reason when aborted (the command itself goes on)
   */
  run(command: GuestCommand, options: SubmitOptions): Promise<Extract<CommandStatus, { kind: 'finished' | 'void' }>>;
  /**
   * Makes sure that the command is over and can never start: INT, TERM, KILL with gaps to every process of its session, or a
   * tombstone where it never began. Resolves with what is then on record.
   */
  stop(cmdId: string, options: StopOptions): Promise<Extract<CommandStatus, { kind: 'finished' | 'void' }>>;
  close(): Promise<void>;
}

export interface AttachRequest {
  readonly machineId: string;
  /** From Postgres; grows with every attachment of the user. */
  readonly attachment: number;
  /** Stored with the machine; the guest refuses a submission that does not carry it. */
  readonly ownerNonce: string;
  readonly signal: AbortSignal;
}

export interface BootstrapCall {
  readonly idempotencyKey: string;
  readonly signal: AbortSignal;
  /** The machine was entered before, so its home holds something; an empty one is left as it is, and told. */
  readonly expectsHome: boolean;
}

export interface BootstrapReport extends GuestIdentity {
  /** Nothing was done: the home holds nothing of anybody's, as a disk that was lost does, or one that is not there yet. */
  readonly isHomeEmpty?: true;
  /** Tools that the recipe could not install. */
  readonly missing: readonly string[];
}

export interface Guest {
  /**
   * Runs the bootstrap recipe: installs only what is missing, leaves its marker, and does nothing where that is. Proves that the
   * machine answers, and says who it is. Never throws for what cannot be installed.
   * @throws GUEST_UNREACHABLE, MACHINE_LOST
   */
  bootstrap(machineId: string, call: BootstrapCall): Promise<BootstrapReport>;
  /** @throws GUEST_UNREACHABLE, MACHINE_LOST, ATTACHMENT_FENCED, GUEST_CONFLICT (owner nonce differs) */
  attach(request: AttachRequest): Promise<GuestAttachment>;
}
