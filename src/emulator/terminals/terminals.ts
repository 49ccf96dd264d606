/** Terminals of all machines: opens their shells, follows their machines to sleep, and keeps their records true. */
import { randomBytes } from 'node:crypto';
import type { WebSocket } from 'ws';
import { guestEnv } from '../executions/guest-env.js';
import type { Faults } from '../faults/faults.js';
import type { MachineHost } from '../machines/host.js';
import type { Lifecycle } from '../machines/lifecycle.js';
import type { ChannelEnd } from '../sandbox/sandbox.js';
import type { MachineRecord, TerminalRecord } from '../state/records.js';
import type { Settings } from '../state/settings.js';
import type { Store } from '../state/store.js';
import { TerminalDrops } from './drops.js';
import { TERMINAL_PROTOCOLS } from './protocol.js';
import { CLOSE_MACHINE_STOPPED, CLOSE_SHELL_EXITED, TerminalSession } from './session.js';

export function newTerminalToken(): string {
  return randomBytes(18).toString('base64url');
}

export class Terminals {
  #sessions = new Map<string, TerminalSession>();

  constructor(
    private readonly store: Store,
    private readonly host: MachineHost,
    private readonly lifecycle: Lifecycle,
    private readonly faults: Faults,
    private readonly settings: () => Settings,
  ) {
    lifecycle.isHeldAwake = (machineId) => this.settings().terminalHoldsAwake && this.#hasAttached(machineId);
    lifecycle.listeners.add({
      onUsable: (machine) => {
        for (const terminal of this.#of(machine.id))
          if (terminal.status === 'wake_in_progress') this.open(terminal.id, machine.id);
      },
      onStopping: (machine, mode) => this.#machineStops(machine, mode),
      onEnded: (machine) => this.#closeAll(machine.id),
    });
  }

  /** Shells do not outlive the emulator. */
  settleAfterRestart(): void {
    for (const machineId of this.store.terminals.keys()) this.#closeAll(machineId);
  }

  find(machineId: string, terminalId: string): TerminalRecord | undefined {
    return this.store.terminals.get(machineId)?.get(terminalId);
  }

  /** Starts the shell of a committed terminal, now or once its machine is usable. */
  open(terminalId: string, machineId: string): void {
    const terminal = this.find(machineId, terminalId);
    const machine = this.store.machines.get(machineId);
    const sandbox = this.host.sandbox(machineId);
    if (!terminal || !machine || !sandbox || !this.lifecycle.isUsable(machine) || this.#sessions.has(terminalId))
      return;
    this.lifecycle.touch(machineId);
    const env = guestEnv(machineId, { TERM: 'xterm-256color', ...terminal.env });
    const command = { argv: [terminal.shell], cwd: terminal.cwd, env };
    const size = { columns: terminal.width, rows: terminal.height };
    const events = {
      onInput: () => this.lifecycle.touch(machineId),
      onEnded: (end: ChannelEnd) => this.#ended(terminalId, machineId, end),
    };
    const session = new TerminalSession(sandbox, command, size, events, { faults: this.faults, machineId });
    this.#sessions.set(terminalId, session);
    const ready: TerminalRecord = { ...terminal, status: 'ready', readyAt: this.store.clock.nowIso() };
    this.store.commit({ terminal: ready }, { kind: 'terminal.opened', machineId, terminalId });
  }

  /** @returns false when the terminal has no shell to talk to */
  attach(terminal: TerminalRecord, socket: WebSocket): boolean {
    const session = this.#sessions.get(terminal.id);
    if (!session) return false;
    this.lifecycle.touch(terminal.machineId);
    const protocol = TERMINAL_PROTOCOLS[this.settings().terminalProtocol];
    session.attach(socket, protocol, new TerminalDrops(this.faults, terminal.machineId));
    return true;
  }

  hasSession(terminalId: string): boolean {
    return this.#sessions.has(terminalId);
  }

  /** Closes a terminal at its owner's wish. */
  close(terminal: TerminalRecord): TerminalRecord {
    if (terminal.status === 'closed' || terminal.status === 'failed') return terminal;
    const session = this.#sessions.get(terminal.id);
    this.#sessions.delete(terminal.id);
    session?.detach(CLOSE_SHELL_EXITED, 'terminal deleted', true);
    session?.hangUp();
    return this.#close(terminal);
  }

  #of(machineId: string): TerminalRecord[] {
    return [...(this.store.terminals.get(machineId)?.values() ?? [])];
  }

  #hasAttached(machineId: string): boolean {
    return this.#of(machineId).some((terminal) => this.#sessions.get(terminal.id)?.isAttached === true);
  }

  /** Cold: shells die with the machine. Warm: they freeze, and only their sockets are lost. */
  #machineStops(machine: MachineRecord, mode: 'cold' | 'warm'): void {
    for (const terminal of this.#of(machine.id)) {
      const isOver = mode === 'cold';
      this.#sessions.get(terminal.id)?.detach(CLOSE_MACHINE_STOPPED, 'machine is going to sleep', isOver);
    }
    if (mode === 'cold') this.#closeAll(machine.id);
  }

  #closeAll(machineId: string): void {
    for (const terminal of this.#of(machineId)) {
      const session = this.#sessions.get(terminal.id);
      this.#sessions.delete(terminal.id);
      session?.detach(CLOSE_MACHINE_STOPPED, 'machine stopped', true);
      if (terminal.status === 'ready' || terminal.status === 'wake_in_progress') this.#close(terminal);
    }
  }

  #ended(terminalId: string, machineId: string, end: ChannelEnd): void {
    if (!this.#sessions.delete(terminalId)) return;
    const terminal = this.find(machineId, terminalId);
    if (terminal?.status !== 'ready') return;
    if (end.kind !== 'not_started') return void this.#close(terminal);
    const failed = { errorCode: 'terminal_start_failed', errorMessage: `${terminal.shell}: ${end.message}` };
    const change = { terminal: { ...terminal, ...failed, status: 'failed' as const } };
    this.store.commit(change, { kind: 'terminal.closed', machineId, terminalId, status: 'failed' });
  }

  #close(terminal: TerminalRecord): TerminalRecord {
    const closed: TerminalRecord = { ...terminal, status: 'closed' };
    const { machineId, id: terminalId } = terminal;
    this.store.commit({ terminal: closed }, { kind: 'terminal.closed', machineId, terminalId, status: 'closed' });
    return closed;
  }
}
