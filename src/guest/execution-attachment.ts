/**
 * An attachment where there are no terminals: the same verbs, one execution each. A submission is a short execution, since the
 * runner detaches; each question then waits on the machine for the command's end before it answers "running".
 */
import { randomBytes } from 'node:crypto';
import { InnkeeperError } from '../contracts/errors.js';
import type { MachineProvider } from '../machines/provider.js';
import { EXECUTION_MARGIN_MS, EXECUTION_WAITS_MS, TERM_GRACE_MS_DEFAULT } from './bounds.js';
import type {
  AttachRequest,
  GuestAttachment,
  GuestCommand,
  GuestIdentity,
  StopOptions,
  SubmitOptions,
} from './guest.js';
import { createLiveOutput, type LiveOutput } from './live-output.js';
import { toFinalStatus, toRefusal, type FinalStatus } from './records.js';
import { helloLine, partLine, runLine, statusLine, stopLine } from './requests.js';
import { installRunner, type RunnerSource } from './runner-source.js';
import { FrameReader, journalName, readCount, type Frame } from './wire.js';

/** Exit code of a shell that finds no file to run: the runner is not on the machine (any more). */
const EXIT_NOT_FOUND = 127;
/** Bytes of output asked for at once where whole answers come cut short. */
const PART_BYTES = 24 * 1024;
/** Kept output that is put together from parts; far above what any command asks to be kept. */
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024;
/** Answers in a row that say nothing before the machine counts as unreachable. */
const MUTE_ANSWERS_MAX = 3;

export interface ExecutionParts {
  readonly machines: MachineProvider;
  readonly runner: RunnerSource;
  readonly newKey: () => string;
}

/** @throws what `execute` throws; GUEST_UNREACHABLE, ATTACHMENT_FENCED, GUEST_CONFLICT */
export async function attachByExecutions(request: AttachRequest, parts: ExecutionParts): Promise<ExecutionAttachment> {
  const caller = new RunnerCaller(request, parts);
  const hello = (await caller.call(helloLine(caller.tag), { waitMs: 0, signal: request.signal })).at(-1);
  if (hello?.kind === 'refused') throw toRefusal(hello);
  if (hello?.kind !== 'hello') throw new InnkeeperError('GUEST_UNREACHABLE', 'The runner did not answer.');
  const bootId = hello.fields['boot'] ?? '';
  if (bootId === '') throw new InnkeeperError('GUEST_UNREACHABLE', 'The runner did not say which boot this is.');
  const identity = { bootId, home: hello.body.toString('utf8') };
  return new ExecutionAttachment(caller, { identity, attachment: request.attachment });
}

export class ExecutionAttachment implements GuestAttachment {
  readonly identity: GuestIdentity;
  readonly attachment: number;
  readonly #caller: RunnerCaller;
  #isBroken = false;

  constructor(caller: RunnerCaller, options: { identity: GuestIdentity; attachment: number }) {
    this.#caller = caller;
    this.identity = options.identity;
    this.attachment = options.attachment;
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  async run(command: GuestCommand, options: SubmitOptions): Promise<FinalStatus> {
    const { tag } = this.#caller;
    const name = journalName(command.cmdId);
    const { bootId } = this.identity;
    const { submittedBootId } = options;
    const live = createLiveOutput(options.output);
    const submission = (): Buffer => runLine(tag, command, { submittedBootId, liveOffset: live.offset });
    const question = (): Buffer => statusLine(tag, name, { bootId, encoding: 'b64', liveOffset: live.offset });
    let line = submission();
    for (let round = 0, mute = 0; ; round += 1) {
      const waitMs = EXECUTION_WAITS_MS[Math.min(round, EXECUTION_WAITS_MS.length - 1)] ?? 0;
      const answer = await this.#ask(name, line, { waitMs, signal: options.signal, live });
      if (answer?.kind === 'result' || answer?.kind === 'void') return this.#read(answer, answer.kind, options.signal);
      if (answer?.kind === 'running') {
        options.onProgress?.({ outputBytes: readCount(answer.fields, 'bytes') ?? 0 });
      }
      line = answer?.kind === 'running' ? question() : submission();
      mute = answer?.kind === 'running' ? 0 : mute + 1;
      if (mute >= MUTE_ANSWERS_MAX) this.#fail('The runner took the command but does not know it.');
    }
  }

  async stop(cmdId: string, options: StopOptions): Promise<FinalStatus> {
    const graceMs = options.graceMs ?? TERM_GRACE_MS_DEFAULT;
    const name = journalName(cmdId);
    const line = stopLine(this.#caller.tag, name, options);
    for (let mute = 0; mute < MUTE_ANSWERS_MAX; mute += 1) {
      const answer = await this.#ask(name, line, { waitMs: 3 * graceMs, signal: options.signal });
      if (answer?.kind === 'stopped-result') return this.#read(answer, 'result', options.signal);
      if (answer?.kind === 'stopped-void') return this.#read(answer, 'void', options.signal);
    }
    return this.#fail('The runner could not stop the command.');
  }

  close(): Promise<void> {
    this.#isBroken = true;
    return Promise.resolve();
  }

  /** The last word about the command; an answer cut short may have none. */
  async #ask(
    name: string,
    line: Buffer,
    options: { waitMs: number; signal: AbortSignal; live?: LiveOutput },
  ): Promise<Frame | undefined> {
    if (this.#isBroken) this.#fail('The attachment is closed.');
    const frames = (await this.#caller.call(line, options)).filter((candidate) => candidate.name === name);
    // Where something is missing the next question asks for it.
    for (const each of frames) if (each.kind === 'running') options.live?.take(each);
    const frame = frames.at(-1);
    if (frame?.kind === 'refused') {
      const refusal = toRefusal(frame);
      if (refusal.code === 'ATTACHMENT_FENCED') this.#isBroken = true;
      throw refusal;
    }
    return frame;
  }

  async #read(answer: Frame, kind: 'result' | 'void', signal: AbortSignal): Promise<FinalStatus> {
    const status = toFinalStatus(answer, kind);
    if (status !== 'damaged') return status;
    const pieces: Buffer[] = [];
    const total = (readCount(answer.fields, 'head') ?? 0) + (readCount(answer.fields, 'tail') ?? 0);
    if (total > OUTPUT_BYTES_MAX) return this.#fail('The machine names more output than is ever kept.');
    for (let offset = 0; offset < total;) {
      const bytes = Math.min(PART_BYTES, total - offset);
      const line = partLine(this.#caller.tag, answer.name, { offset, bytes });
      const part = await this.#ask(answer.name, line, { waitMs: 0, signal });
      const isPart = part?.kind === 'part' && part.body.length > 0 && part.body.length <= bytes;
      if (!isPart) return this.#fail('The output could not be read.');
      pieces.push(part.body);
      offset += part.body.length;
    }
    const whole = toFinalStatus({ ...answer, body: Buffer.concat(pieces) }, kind);
    return whole === 'damaged' ? this.#fail('The output differs from what the machine recorded.') : whole;
  }

  #fail(message: string): never {
    this.#isBroken = true;
    throw new InnkeeperError('GUEST_UNREACHABLE', message);
  }
}

/** Calls the runner by executions, and puts it on the machine where it is missing. */
export class RunnerCaller {
  readonly tag = randomBytes(8).toString('hex');
  readonly #request: AttachRequest;
  readonly #parts: ExecutionParts;

  constructor(request: AttachRequest, parts: ExecutionParts) {
    this.#request = request;
    this.#parts = parts;
  }

  /** The frames that answer one line. @throws what `execute` throws; GUEST_UNREACHABLE */
  async call(line: Buffer, options: { readonly waitMs: number; readonly signal: AbortSignal }): Promise<Frame[]> {
    const { machines, runner, newKey } = this.#parts;
    const { machineId, ownerNonce, attachment } = this.#request;
    for (let isPlaced = false; ; isPlaced = true) {
      const result = await machines.execute(
        machineId,
        {
          argv: [
            ...[
              '/bin/bash',
              '-c',
              `[ -f ${runner.path} ] || exit ${EXIT_NOT_FOUND}; exec env --default-signal bash ${runner.path} "$@"`,
              'innkeeper',
            ],
            ...['once', this.tag, ownerNonce, String(attachment), String(options.waitMs)],
          ],
          stdin: line.toString('utf8').replace(/^\n/, ''),
          timeoutMs: options.waitMs + EXECUTION_MARGIN_MS,
        },
        { idempotencyKey: newKey(), signal: options.signal },
      );
      const frames = new FrameReader(this.tag).push(Buffer.from(result.stdout));
      if (frames.length > 0) return frames;
      if (result.exitCode !== EXIT_NOT_FOUND || isPlaced) {
        if (result.exitCode === 0) return [];
        throw new InnkeeperError('GUEST_UNREACHABLE', `The runner failed: ${result.stderr.slice(0, 300)}`);
      }
      await installRunner({ machines, machineId, runner, idempotencyKey: newKey(), signal: options.signal });
    }
  }
}
