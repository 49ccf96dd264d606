/** What the runner's records mean: its frames as the port's statuses, its refusals as errors. */
import { createHash } from 'node:crypto';
import { InnkeeperError } from '../contracts/errors.js';
import type { CommandOutput, CommandResult, CommandStatus, VoidReason } from './guest.js';
import { readCount, type Frame } from './wire.js';

/** A status at which a command is over for good. */
export type FinalStatus = Extract<CommandStatus, { kind: 'finished' | 'void' }>;

/** A process's exit status is one byte. */
const EXIT_CODE_MAX = 255;
const VOID_REASONS: readonly VoidReason[] = ['stopped_before_start', 'runner_died', 'boot_changed', 'disk_rolled_back'];

/** Names of signals as the runner writes them. */
const SIGNAL = /^SIG[A-Z0-9+-]{1,12}$/;

/**
 * The status that a frame of kind result or void reports; `damaged` where it did not arrive as it is stored, or is nothing that
 * the runner writes.
 */
export function toFinalStatus(frame: Frame, kind: 'result' | 'void'): FinalStatus | 'damaged' {
  const { fields, body } = frame;
  const output = readOutput(frame);
  if (output === undefined) return 'damaged';
  if (kind === 'void') {
    const reason = VOID_REASONS.find((known) => known === fields['reason']);
    return reason === undefined ? 'damaged' : { kind: 'void', reason, output };
  }
  const outputHash = fields['hash'] ?? '';
  if (createHash('sha256').update(body).digest('hex') !== outputHash) return 'damaged';
  const end = readEnd(fields);
  const [startedAtMs, endedAtMs] = [readCount(fields, 'started'), readCount(fields, 'ended')];
  const [timedOut, stopped] = [readFlag(fields, 'timedout'), readFlag(fields, 'stopped')];
  if (end === undefined || startedAtMs === undefined || endedAtMs === undefined) return 'damaged';
  if (timedOut === undefined || stopped === undefined) return 'damaged';
  return { kind: 'finished', result: { ...end, timedOut, stopped, outputHash, output, startedAtMs, endedAtMs } };
}

function readOutput({ fields, body }: Frame): CommandOutput | undefined {
  const [totalBytes, headBytes, tailBytes] = ['total', 'head', 'tail'].map((key) => readCount(fields, key));
  if (totalBytes === undefined || headBytes === undefined || tailBytes === undefined) return undefined;
  if (body.length !== headBytes + tailBytes || totalBytes < body.length) return undefined;
  return {
    totalBytes,
    head: new Uint8Array(body.subarray(0, headBytes)),
    tail: new Uint8Array(body.subarray(headBytes)),
  };
}

/** A command ends with an exit code, or by a signal. */
function readEnd(fields: Frame['fields']): Pick<CommandResult, 'exitCode' | 'signal'> | undefined {
  const { exit, signal } = fields;
  if (exit === '' && signal !== undefined && SIGNAL.test(signal)) return { exitCode: undefined, signal };
  const exitCode = readCount(fields, 'exit');
  return exitCode === undefined || exitCode > EXIT_CODE_MAX || signal !== ''
    ? undefined
    : { exitCode, signal: undefined };
}

function readFlag(fields: Frame['fields'], key: string): boolean | undefined {
  return fields[key] === '1' ? true : fields[key] === '0' ? false : undefined;
}

/** The error that a frame of kind refused stands for. */
export function toRefusal(frame: Frame): InnkeeperError {
  switch (frame.fields['reason']) {
    case 'fenced':
      return new InnkeeperError('ATTACHMENT_FENCED', 'A newer attachment owns the runner of this machine.');
    case 'owner':
      return new InnkeeperError('GUEST_CONFLICT', 'The runner of this machine belongs to another owner.');
    case 'conflict':
      return new InnkeeperError('GUEST_CONFLICT', 'This command id was used on the machine with another body.', {
        details: { name: frame.name },
      });
    default:
      return new InnkeeperError('GUEST_UNREACHABLE', 'The runner refused for a reason that is not known here.');
  }
}
