/**
 * A person's own interactive shell on the machine, in the context of the agent's commands: it begins where the last one left off, and
 * where it is left the next one begins. The runner makes it and ends it; the bytes between are nobody's business here.
 */
import { randomBytes } from 'node:crypto';
import { InnkeeperError } from '../contracts/errors.js';
import { newIdempotencyKey } from '../machines/idempotency-key.js';
import type { MachineAccess, Terminal, TerminalSize } from '../machines/provider.js';
import { PERSON_LEAVE_MS_MAX } from './bounds.js';
import { createPersonOutput } from './person-output.js';
import { installRunner, loadRunner, startLine, type RunnerSource } from './runner-source.js';

export interface PersonShell extends Omit<Terminal, 'terminalId'> {
  /**
   * Ends it, and what it runs in the foreground; what is in the background goes on. Answers the directory where it was left; null:
   * that is not known. May be repeated, also when it has ended by itself.
   * @throws what `execute` throws; the signal's reason
   */
  leave(signal: AbortSignal): Promise<string | null>;
}

export interface PersonShellRequest extends TerminalSize {
  readonly machines: MachineAccess;
  readonly machineId: string;
  readonly signal: AbortSignal;
  /** Another runner than the one that is shipped. */
  readonly runner?: RunnerSource;
}

/** @throws what `openTerminal` and `execute` throw; GUEST_UNREACHABLE; the signal's reason */
export async function openPersonShell(request: PersonShellRequest): Promise<PersonShell> {
  const { machines, machineId, columns, rows, signal, runner = loadRunner() } = request;
  const id = randomBytes(8).toString('hex');
  const terminal = await machines.openTerminal(
    machineId,
    { columns, rows, shell: '/bin/bash' },
    { idempotencyKey: newIdempotencyKey(), signal },
  );
  try {
    const output = createPersonOutput(terminal, id);
    const line = startLine(runner, ['person', id, id]);
    terminal.write(line);
    if ((await output.firstWord(signal)) === 'missing') {
      await installRunner({ machines, machineId, runner, idempotencyKey: newIdempotencyKey(), signal });
      terminal.write(line);
      if ((await output.firstWord(signal)) === 'missing') {
        throw new InnkeeperError('GUEST_UNREACHABLE', 'The runner was placed on the machine but is not found there.');
      }
    }
    return {
      closed: terminal.closed,
      get unsentBytes() {
        return terminal.unsentBytes;
      },
      write: (bytes) => terminal.write(bytes),
      resize: (size) => terminal.resize(size),
      pause: (isPaused) => terminal.pause(isPaused),
      onOutput: (listener) => output.hear(listener),
      close: () => terminal.close(),
      leave: (leaving) => leave({ machines, machineId, runner, id, signal: leaving }),
    };
  } catch (error) {
    void terminal.close();
    throw error;
  }
}

async function leave(shell: {
  readonly machines: MachineAccess;
  readonly machineId: string;
  readonly runner: RunnerSource;
  readonly id: string;
  readonly signal: AbortSignal;
}): Promise<string | null> {
  const { machines, machineId, runner, id, signal } = shell;
  const { stdout } = await machines.execute(
    machineId,
    {
      argv: ['/bin/bash', '-c', `exec bash ${runner.path} leave "$1"`, 'innkeeper', id],
      timeoutMs: PERSON_LEAVE_MS_MAX,
    },
    { idempotencyKey: newIdempotencyKey(), signal },
  );
  const encoded = /^innkeeper-left (\S+)$/m.exec(stdout)?.[1];
  return encoded === undefined ? null : Buffer.from(encoded, 'base64').toString('utf8');
}
