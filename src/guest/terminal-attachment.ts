/** An attachment over its own raw terminal: opened once, used from command to command. */
import { randomBytes } from 'node:crypto';
import { InnkeeperError } from '../contracts/errors.js';
import { TERMINAL_COLUMNS, TERMINAL_ROWS } from '../contracts/limits.js';
import type { MachineProvider } from '../machines/provider.js';
import { HELLO_MAX_MS, HELLO_RESEND_MS, SERVE_IDLE_SECONDS } from './bounds.js';
import { follow } from './follow.js';
import type {
  AttachRequest,
  GuestAttachment,
  GuestCommand,
  GuestIdentity,
  StopOptions,
  SubmitOptions,
} from './guest.js';
import { createLiveOutput } from './live-output.js';
import { toRefusal, type FinalStatus } from './records.js';
import { runLine, statusLine, stopLine } from './requests.js';
import { installRunner, startLine, type RunnerSource } from './runner-source.js';
import { TerminalChannel } from './terminal-channel.js';
import { journalName, readCount, type Frame } from './wire.js';

export class TerminalAttachment implements GuestAttachment {
  readonly identity: GuestIdentity;
  readonly attachment: number;
  readonly #channel: TerminalChannel;

  constructor(channel: TerminalChannel, options: { identity: GuestIdentity; attachment: number }) {
    this.#channel = channel;
    this.identity = options.identity;
    this.attachment = options.attachment;
  }

  get isBroken(): boolean {
    return this.#channel.failure !== undefined;
  }

  async run(command: GuestCommand, options: SubmitOptions): Promise<FinalStatus> {
    const { tag } = this.#channel;
    const name = journalName(command.cmdId);
    const { bootId } = this.identity;
    const { submittedBootId } = options;
    const live = createLiveOutput(options.output);
    return follow(this.#channel, {
      name,
      opening: () => runLine(tag, command, { submittedBootId, liveOffset: live.offset }),
      reminder: () => statusLine(tag, name, { bootId, encoding: 'raw', liveOffset: live.offset }),
      repair: statusLine(tag, name, { bootId, encoding: 'b64' }),
      answers: { result: 'result', void: 'void', 'stopped-result': 'result', 'stopped-void': 'void' },
      signal: options.signal,
      onRunning: (frame) => {
        options.onProgress?.({ outputBytes: readCount(frame.fields, 'bytes') ?? 0 });
        return live.take(frame);
      },
    });
  }

  async stop(cmdId: string, options: StopOptions): Promise<FinalStatus> {
    const { tag } = this.#channel;
    const name = journalName(cmdId);
    const line = stopLine(tag, name, options);
    return follow(this.#channel, {
      name,
      opening: () => line,
      reminder: () => line,
      repair: statusLine(tag, name, { bootId: this.identity.bootId, encoding: 'b64' }),
      answers: { 'stopped-result': 'result', 'stopped-void': 'void' },
      signal: options.signal,
    });
  }

  async close(): Promise<void> {
    await this.#channel.break(new InnkeeperError('GUEST_UNREACHABLE', 'The attachment was closed.'));
  }
}

/**
 * Opens a terminal and makes it the runner's. @throws what `openTerminal` and `execute` throw; GUEST_UNREACHABLE,
 * ATTACHMENT_FENCED, GUEST_CONFLICT
 */
export async function attachByTerminal(
  request: AttachRequest,
  parts: { readonly machines: MachineProvider; readonly runner: RunnerSource; readonly newKey: () => string },
): Promise<TerminalAttachment> {
  const { machines, runner, newKey } = parts;
  const { machineId, signal } = request;
  const terminal = await machines.openTerminal(
    machineId,
    { columns: TERMINAL_COLUMNS, rows: TERMINAL_ROWS, shell: '/bin/bash' },
    { idempotencyKey: newKey(), signal },
  );
  const channel = new TerminalChannel(terminal, randomBytes(8).toString('hex'));
  try {
    const line = greeting(channel.tag, runner, request);
    let answer = await firstWord(channel, line, signal);
    if (answer.kind === 'missing') {
      await installRunner({ machines, machineId, runner, idempotencyKey: newKey(), signal });
      answer = await firstWord(channel, line, signal);
    }
    if (answer.kind === 'refused') throw toRefusal(answer);
    const bootId = answer.fields['boot'] ?? '';
    if (answer.kind !== 'hello' || bootId === '') {
      throw new InnkeeperError('GUEST_UNREACHABLE', 'The runner was placed on the machine but is not found there.');
    }
    return new TerminalAttachment(channel, {
      identity: { bootId, home: answer.body.toString('utf8') },
      attachment: request.attachment,
    });
  } catch (error) {
    void channel.break(new InnkeeperError('GUEST_UNREACHABLE', 'The attachment failed.'));
    throw error;
  }
}

/** The one line typed into the interactive shell. */
function greeting(tag: string, runner: RunnerSource, request: AttachRequest): Buffer {
  return startLine(runner, ['serve', tag, request.ownerNonce, String(request.attachment), String(SERVE_IDLE_SECONDS)]);
}

/** Sends the line until the first frame comes. @throws GUEST_UNREACHABLE */
function firstWord(channel: TerminalChannel, line: Buffer, signal: AbortSignal): Promise<Frame> {
  return new Promise((resolve, reject) => {
    const repeat = setInterval(() => channel.send(line), HELLO_RESEND_MS);
    const deadline = setTimeout(() => {
      settle();
      reject(
        new InnkeeperError('GUEST_UNREACHABLE', 'The shell of the terminal does not start the runner.', {
          details: { isSpeechless: true },
        }),
      );
    }, HELLO_MAX_MS);
    const settle = (): void => {
      clearInterval(repeat);
      clearTimeout(deadline);
      unlisten();
      signal.removeEventListener('abort', onAbort);
    };
    const onAbort = (): void => {
      settle();
      reject(signal.reason as Error);
    };
    const unlisten = channel.listen((frame) => {
      settle();
      if (frame !== undefined) resolve(frame);
      else reject(channel.failure ?? new InnkeeperError('GUEST_UNREACHABLE', 'The terminal has ended.'));
    });
    if (signal.aborted) return onAbort();
    if (channel.failure !== undefined) {
      settle();
      return reject(channel.failure);
    }
    signal.addEventListener('abort', onAbort);
    channel.send(line);
  });
}
