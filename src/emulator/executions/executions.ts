/**
 * Executions: one argv run in a machine's sandbox without a terminal. Waits for a machine that wakes, enforces the
 * timeout, and writes each document the moment its command is over.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXECUTION_INLINE_CHARS_MAX, EXECUTION_KILL_GRACE_MS, GUEST_HOME } from '../constants.js';
import type { Faults } from '../faults/faults.js';
import type { MachineHost } from '../machines/host.js';
import type { Lifecycle } from '../machines/lifecycle.js';
import type { ChannelEnd } from '../sandbox/sandbox.js';
import type { ExecutionRecord, ExecutionStatus, MachineRecord, OutputChunk } from '../state/records.js';
import type { Settings } from '../state/settings.js';
import type { Store } from '../state/store.js';
import { guestEnv } from './guest-env.js';
import { OutputBuffer } from './output-buffer.js';

interface Live {
  output: OutputBuffer;
  channel: number | undefined;
  timer: NodeJS.Timeout | undefined;
  /** Why we ended it, where it was us. */
  endedAs: 'expired' | 'cancelled' | undefined;
}

/** A refusal or failure that is no exit code. */
export interface Refusal {
  status: ExecutionStatus;
  code: string | null;
  message: string | null;
}

const SHELL_NOT_FOUND = 127;
const SHELL_NOT_EXECUTABLE = 126;
const ENOENT = 2;

export class Executions {
  #live = new Map<string, Live>();

  constructor(
    private readonly store: Store,
    private readonly host: MachineHost,
    private readonly lifecycle: Lifecycle,
    private readonly faults: Faults,
    private readonly settings: () => Settings,
  ) {
    lifecycle.listeners.add({
      onUsable: (machine) => this.#forEachWaiting(machine.id, (execution) => this.submit(execution.id, machine.id)),
      onEnded: (machine) =>
        this.#forEachWaiting(machine.id, (execution) => this.#refuse(execution, refusalOfEnded(machine))),
    });
  }

  /** Executions that were under way when the emulator died have no known result. */
  settleAfterRestart(): void {
    for (const group of this.store.executions.values()) {
      for (const execution of group.values()) {
        if (execution.completedAt !== null) continue;
        if (execution.status === 'running') this.#refuse(execution, INTERRUPTED);
        else if (execution.status === 'queued') this.#commit({ ...execution, status: 'wake_in_progress' });
      }
    }
  }

  /** Starts a committed execution now, or once its machine is usable. */
  submit(executionId: string, machineId: string): void {
    const execution = this.find(machineId, executionId);
    const machine = this.store.machines.get(machineId);
    if (!execution || !machine || execution.completedAt !== null || this.#live.has(executionId)) return;
    const fault = this.faults.take('execution-refusal', { machineId, route: 'executions.create' });
    if (fault) {
      const code = fault.code ?? 'machine_not_routable';
      return this.#refuse(execution, { status: 'failed', code, message: fault.message ?? code });
    }
    if (machine.phase === 'failed' || machine.desiredState === 'destroyed') {
      return this.#refuse(execution, refusalOfEnded(machine));
    }
    if (!this.lifecycle.isUsable(machine)) {
      if (machine.phase === 'running' && execution.status === 'queued') this.#refuse(execution, NOT_ROUTABLE);
      return;
    }
    const { executionMs } = this.settings();
    if (executionMs <= 0) return this.#start(execution, machine);
    this.#live.set(execution.id, newLive());
    setTimeout(() => {
      if (!this.#live.delete(execution.id)) return;
      const current = this.find(machineId, executionId);
      const host = this.store.machines.get(machineId);
      if (current && host && current.completedAt === null) this.#start(current, host);
    }, executionMs).unref();
  }

  find(machineId: string, executionId: string): ExecutionRecord | undefined {
    return this.store.executions.get(machineId)?.get(executionId);
  }

  /** Everything written so far, oldest first. */
  chunks(execution: ExecutionRecord): readonly OutputChunk[] {
    const live = this.#live.get(execution.id);
    if (live) return live.output.chunks;
    if (execution.chunks) return execution.chunks;
    if (execution.stdoutBytes + execution.stderrBytes === 0) return [];
    try {
      return JSON.parse(readFileSync(this.#outputFile(execution), 'utf8')) as OutputChunk[];
    } catch {
      // The file went with its machine's disk: the counts remain, the text is gone.
      return [];
    }
  }

  /** Ends an execution that is not over yet; one that is over stays as it is. */
  cancel(execution: ExecutionRecord): ExecutionRecord {
    if (execution.completedAt !== null) return execution;
    const live = this.#live.get(execution.id);
    if (live?.channel !== undefined) this.#end(execution, live, 'cancelled');
    else {
      this.#live.delete(execution.id);
      this.#refuse(execution, { status: 'cancelled', code: null, message: null });
    }
    return this.find(execution.machineId, execution.id) ?? execution;
  }

  #start(execution: ExecutionRecord, machine: MachineRecord): void {
    const sandbox = this.host.sandbox(machine.id);
    if (!sandbox) return this.#refuse(execution, NOT_ROUTABLE);
    const startedAt = this.store.clock.nowIso();
    const running: ExecutionRecord = { ...execution, status: 'running', startedAt };
    const live = newLive();
    this.#live.set(execution.id, live);
    this.lifecycle.touch(machine.id);
    const { id: executionId, machineId } = execution;
    this.store.commit({ execution: running }, { kind: 'execution.started', machineId, executionId });
    const request = {
      argv: execution.command,
      cwd: execution.cwd ?? GUEST_HOME,
      env: guestEnv(machine.id, execution.env),
    };
    live.channel = sandbox.startCommand(request, execution.stdin ?? undefined, {
      onData: (stream, bytes) => live.output.add(stream, bytes, this.store.clock.nowIso()),
      onClosed: (end) => this.#closed(running, live, end),
    });
    live.timer = setTimeout(() => this.#end(running, live, 'expired'), execution.timeoutMs);
    live.timer.unref();
  }

  #end(execution: ExecutionRecord, live: Live, as: 'expired' | 'cancelled'): void {
    live.endedAs ??= as;
    const sandbox = this.host.sandbox(execution.machineId);
    const channel = live.channel;
    if (!sandbox || channel === undefined) return;
    sandbox.signalGroup(channel, 'KILL');
    setTimeout(() => {
      if (this.#live.get(execution.id) === live) sandbox.detach(channel);
    }, EXECUTION_KILL_GRACE_MS).unref();
  }

  #closed(execution: ExecutionRecord, live: Live, end: ChannelEnd): void {
    clearTimeout(live.timer);
    const at = this.store.clock.nowIso();
    if (end.kind === 'not_started') live.output.add('stderr', Buffer.from(notStartedText(execution, end)), at);
    live.output.end(at);
    this.#live.delete(execution.id);
    const { output } = live;
    const done: ExecutionRecord = {
      ...execution,
      ...outcome(end, live.endedAs),
      completedAt: at,
      // Values are of no further use, and are never returned.
      stdin: null,
      stdoutBytes: output.bytes.stdout,
      stderrBytes: output.bytes.stderr,
      stdoutTruncated: output.isTruncated('stdout'),
      stderrTruncated: output.isTruncated('stderr'),
      chunks: output.chars() <= EXECUTION_INLINE_CHARS_MAX ? output.chunks : null,
    };
    if (done.chunks === null) this.#writeOutput(done, output.chunks);
    if (done.status === 'succeeded') this.lifecycle.touch(done.machineId);
    this.#commit(done);
  }

  #writeOutput(execution: ExecutionRecord, chunks: readonly OutputChunk[]): void {
    try {
      mkdirSync(this.host.paths(execution.machineId).outputs, { recursive: true });
      writeFileSync(this.#outputFile(execution), JSON.stringify(chunks), { mode: 0o600 });
    } catch {
      // The machine's folder is being destroyed; nobody can ask for the output any more.
    }
  }

  #outputFile(execution: ExecutionRecord): string {
    return join(this.host.paths(execution.machineId).outputs, `${execution.id}.json`);
  }

  #refuse(execution: ExecutionRecord, refusal: Refusal): void {
    this.#commit({
      ...execution,
      status: refusal.status,
      errorCode: refusal.code,
      errorMessage: refusal.message,
      completedAt: this.store.clock.nowIso(),
      stdin: null,
      chunks: [],
    });
  }

  #commit(execution: ExecutionRecord): void {
    const { id: executionId, machineId, status, exitCode, errorCode } = execution;
    const note = { kind: 'execution.ended', machineId, executionId, status, exitCode, errorCode };
    this.store.commit({ execution }, ...(execution.completedAt === null ? [] : [note]));
  }

  #forEachWaiting(machineId: string, act: (execution: ExecutionRecord) => void): void {
    for (const execution of [...(this.store.executions.get(machineId)?.values() ?? [])]) {
      if (execution.completedAt === null && execution.status === 'wake_in_progress') act(execution);
    }
  }
}

const INTERRUPTED: Refusal = {
  status: 'failed',
  code: 'execution_interrupted',
  message: 'the machine stopped while the command was running',
};
const NOT_ROUTABLE: Refusal = { status: 'failed', code: 'machine_not_routable', message: 'machine is not routable' };

function refusalOfEnded(machine: MachineRecord): Refusal {
  if (machine.phase === 'failed') return NOT_ROUTABLE;
  return { status: 'failed', code: 'machine_not_found', message: 'machine no longer exists' };
}

function newLive(): Live {
  return { output: new OutputBuffer(), channel: undefined, timer: undefined, endedAs: undefined };
}

type Outcome = Pick<ExecutionRecord, 'status' | 'exitCode' | 'signal' | 'errorCode' | 'errorMessage'>;

function outcome(end: ChannelEnd, endedAs: Live['endedAs']): Outcome {
  const none = { exitCode: null, signal: null, errorCode: null, errorMessage: null };
  if (endedAs === 'expired') {
    const errorMessage = 'the command ran longer than timeout_ms';
    return { ...none, status: 'expired', errorCode: 'execution_timed_out', errorMessage };
  }
  if (endedAs === 'cancelled') return { ...none, status: 'cancelled' };
  switch (end.kind) {
    case 'exited':
      return { ...none, status: end.exitCode === 0 ? 'succeeded' : 'failed', exitCode: end.exitCode };
    case 'signalled':
      return { ...none, status: 'failed', exitCode: 128 + end.signal, signal: end.signal };
    case 'not_started':
      return { ...none, status: 'failed', exitCode: end.errno === ENOENT ? SHELL_NOT_FOUND : SHELL_NOT_EXECUTABLE };
    case 'sandbox_gone':
      return { ...none, status: 'failed', errorCode: INTERRUPTED.code, errorMessage: INTERRUPTED.message };
  }
}

function notStartedText(execution: ExecutionRecord, end: Extract<ChannelEnd, { kind: 'not_started' }>): string {
  const what = end.stage === 'cwd' ? (execution.cwd ?? GUEST_HOME) : (execution.command[0] ?? '');
  return `${what}: ${end.message}\n`;
}
