/**
 * A machine made of plain processes on this host: a home directory of its own, and a boot id of its own bound over the kernel's,
 * so that the runner needs no hooks for tests. Terminals may be given faults.
 */
import { spawn as spawnPty } from '@lydell/node-pty';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InnkeeperError } from '../../../src/contracts/errors.js';
import type {
  ExecutionRequest,
  ExecutionResult,
  MachineProvider,
  MutationOptions,
  Terminal,
  TerminalRequest,
} from '../../../src/machines/provider.js';

const ENTER_MACHINE = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && cd "$HOME" && exec "$@"';

/** What a terminal does to each piece that crosses it, in either direction: the pieces to hand on, at once or later. */
export interface TerminalFaults {
  onInput?(bytes: Buffer, forward: (bytes: Buffer) => void): void;
  onOutput?(bytes: Buffer, forward: (bytes: Buffer) => void): void;
}

export class LocalMachine {
  readonly home = mkdtempSync(join(tmpdir(), 'guest-home-'));
  readonly #bootFile = join(mkdtempSync(join(tmpdir(), 'guest-boot-')), 'boot_id');
  readonly #terminals = new Set<Terminal>();
  hasTerminals = true;
  faults: TerminalFaults = {};
  executions = 0;
  terminalsOpened = 0;

  constructor() {
    this.#newBoot();
  }

  get bootId(): string {
    return readFileSync(this.#bootFile, 'utf8').trim();
  }

  readonly provider: MachineProvider = {
    hasTerminals: () => this.hasTerminals,
    takesAutosleep: true,
    settle: () => Promise.resolve(),
    create: unexpected,
    find: unexpected,
    list: unexpected,
    spellingsOf: unexpected,
    wake: unexpected,
    sleep: unexpected,
    destroy: unexpected,
    execute: (_machineId, request, options) => this.#execute(request, options),
    openTerminal: (_machineId, request) => this.#openTerminal(request),
  };

  /** Processes whose environment names this machine's home. */
  processes(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`HOME=${this.home}`);
        } catch {
          return false; // Gone meanwhile, or a kernel thread.
        }
      })
      .map(Number);
  }

  /** Power off: nothing but the home directory survives. */
  crash(): void {
    for (let pids = this.processes(); pids.length > 0; pids = this.processes()) {
      for (const pid of pids) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It ended by itself.
        }
      }
    }
    this.#newBoot();
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.#terminals].map((terminal) => terminal.close()));
    this.crash();
    rmSync(this.home, { recursive: true, force: true });
    rmSync(join(this.#bootFile, '..'), { recursive: true, force: true });
  }

  #newBoot(): void {
    writeFileSync(this.#bootFile, `${randomUUID()}\n`);
  }

  #enter(argv: readonly string[]): string[] {
    const user = process.getuid?.() === 0 ? [] : ['--map-root-user'];
    return [...user, '--mount', '/bin/bash', '-c', ENTER_MACHINE, this.#bootFile, ...argv];
  }

  #environment(env: Readonly<Record<string, string>> = {}): Record<string, string> {
    return { HOME: this.home, PATH: process.env['PATH'] ?? '/usr/bin:/bin', USER: 'root', ...env };
  }

  #execute(request: ExecutionRequest, options: MutationOptions): Promise<ExecutionResult> {
    this.executions += 1;
    return new Promise((resolve, reject) => {
      const child = spawn('unshare', this.#enter(request.argv), { env: this.#environment(request.env) });
      let stdout = '';
      let stderr = '';
      let isExpired = false;
      child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
      const timer = setTimeout(() => {
        isExpired = true;
        child.kill('SIGKILL');
      }, request.timeoutMs);
      options.signal?.addEventListener('abort', () => reject(options.signal?.reason as Error));
      child.on('error', reject);
      child.on('close', (code, signal) => {
        clearTimeout(timer);
        resolve({
          executionId: randomUUID(),
          exitCode: code ?? undefined,
          signal: signal ?? undefined,
          expired: isExpired,
          stdout,
          stderr,
          stdoutTruncated: false,
        });
      });
      child.stdin.on('error', () => undefined); // A child that does not read its input may close it first.
      child.stdin.end(request.stdin ?? '');
    });
  }

  #openTerminal(request: TerminalRequest): Promise<Terminal> {
    this.terminalsOpened += 1;
    const { faults } = this;
    const pty = spawnPty('unshare', this.#enter([request.shell ?? '/bin/bash']), {
      cols: request.columns,
      rows: request.rows,
      env: this.#environment({ TERM: 'xterm', ...request.env }),
      encoding: null,
    });
    let isOpen = true;
    const closed = new Promise<{ code: number | undefined; reason: string }>((resolve) => {
      pty.onExit(({ exitCode }) => {
        isOpen = false;
        resolve({ code: exitCode, reason: 'shell ended' });
      });
    });
    const terminal: Terminal = {
      terminalId: randomUUID(),
      closed,
      write(bytes) {
        if (!isOpen) throw new InnkeeperError('GUEST_UNREACHABLE', 'closed');
        const forward = (piece: Buffer): void => {
          if (isOpen) pty.write(piece as unknown as string);
        };
        if (faults.onInput) faults.onInput(Buffer.from(bytes), forward);
        else forward(Buffer.from(bytes));
      },
      unsentBytes: 0,
      resize: ({ columns, rows }) => pty.resize(columns, rows),
      pause: (isPaused) => (isPaused ? pty.pause() : pty.resume()),
      onOutput(listener) {
        pty.onData((data) => {
          const bytes = data as unknown as Buffer;
          if (faults.onOutput) faults.onOutput(bytes, listener);
          else listener(bytes);
        });
      },
      close: async () => {
        if (isOpen) pty.kill('SIGHUP');
        await closed;
        this.#terminals.delete(terminal);
      },
    };
    this.#terminals.add(terminal);
    return Promise.resolve(terminal);
  }
}

function unexpected(): never {
  throw new Error('the guest does not manage machines');
}
