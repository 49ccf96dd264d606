/** What the runner's records mean: its frames as the port's statuses, its refusals as errors. */
import { createHash } from 'node:crypto';
import { InnkeeperError } from '../contracts/errors.js';
import type { CommandOutput, CommandStatus, VoidReason } from './guest.js';
import type { Frame } from './wire.js';

/** A status at which a command is over for good. */
export type FinalStatus = Extract<CommandStatus, { kind: 'finished' | 'void' }>;

const VOID_REASONS: readonly VoidReason[] = ['stopped_before_start', 'runner_died', 'boot_changed', 'disk_rolled_back'];

/** The status that a frame of kind result or void reports; `damaged` where its output did not arrive as it is stored. */
export function toFinalStatus(frame: Frame, kind: 'result' | 'void'): FinalStatus | 'damaged' {
  const { fields, body } = frame;
  const headBytes = Number(fields['head']);
  const tailBytes = Number(fields['tail']);
  if (body.length !== headBytes + tailBytes) return 'damaged';
  const output: CommandOutput = {
    totalBytes: Number(fields['total']),
    head: new Uint8Array(body.subarray(0, headBytes)),
    tail: new Uint8Array(body.subarray(headBytes)),
  };
  if (kind === 'void') {
    const reason = VOID_REASONS.find((known) => known === fields['reason']);
    return reason === undefined ? 'damaged' : { kind: 'void', reason, output };
  }
  const outputHash = fields['hash'] ?? '';
  if (createHash('sha256').update(body).digest('hex') !== outputHash) return 'damaged';
  return {
    kind: 'finished',
    result: {
      exitCode: fields['exit'] ? Number(fields['exit']) : undefined,
      signal: fields['signal'] || undefined,
      timedOut: fields['timedout'] === '1',
      stopped: fields['stopped'] === '1',
      outputHash,
      output,
      startedAtMs: Number(fields['started']),
      endedAtMs: Number(fields['ended']),
    },
  };
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
