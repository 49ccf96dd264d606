/** Commands for tests, and what tests ask about their results. */
import { randomUUID } from 'node:crypto';
import { COMMAND_OUTPUT_HEAD_BYTES, COMMAND_OUTPUT_TAIL_BYTES } from '../../../src/contracts/limits.js';
import { bodyHash } from '../../../src/guest/body-hash.js';
import type { CommandResult, CommandStatus, GuestCommand } from '../../../src/guest/guest.js';

export function command(script: string, change: Partial<GuestCommand> = {}): GuestCommand {
  const body = {
    script,
    historyLine: script,
    timeoutMs: 60_000,
    outputHeadBytes: COMMAND_OUTPUT_HEAD_BYTES,
    outputTailBytes: COMMAND_OUTPUT_TAIL_BYTES,
    ...change,
  };
  return { cmdId: randomUUID(), bodyHash: bodyHash(body), ...body };
}

/** The result of a command that must have one. */
export function finished(status: CommandStatus): CommandResult {
  if (status.kind !== 'finished') throw new Error(`the command is ${JSON.stringify(status)}`);
  return status.result;
}

export function text(result: CommandResult): string {
  return Buffer.concat([result.output.head, result.output.tail]).toString('utf8');
}
