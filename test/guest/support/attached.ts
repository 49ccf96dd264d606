/** A machine with an attachment, by either channel, and short ways to run commands on it. */
import { randomUUID } from 'node:crypto';
import { createGuest } from '../../../src/guest/create-guest.js';
import type { CommandResult, Guest, GuestAttachment, GuestCommand } from '../../../src/guest/guest.js';
import type { RunnerSource } from '../../../src/guest/runner-source.js';
import { command, finished, text } from './commands.js';
import { LocalMachine } from './local-machine.js';

export type Channel = 'terminal' | 'executions';
export const CHANNELS: readonly Channel[] = ['terminal', 'executions'];
/** No call of a test takes this long unless something is wrong. */
const CALL_MS_MAX = 40_000;

export class AttachedMachine {
  readonly machine = new LocalMachine();
  readonly guest: Guest;
  readonly channel: Channel;
  #attachment: GuestAttachment | undefined;
  #number = 0;

  constructor(channel: Channel, runner?: RunnerSource) {
    this.channel = channel;
    this.machine.hasTerminals = channel === 'terminal';
    this.guest = createGuest({
      machines: this.machine.provider,
      newKey: randomUUID,
      ...(runner === undefined ? {} : { runner }),
    });
  }

  /** A new attachment under the next number, or the one asked for. */
  async attach(number = this.#number + 1): Promise<GuestAttachment> {
    this.#number = Math.max(this.#number, number);
    this.#attachment = await this.guest.attach({
      machineId: 'machine',
      attachment: number,
      ownerNonce: 'owner-1',
      signal: deadline(),
    });
    return this.#attachment;
  }

  async current(): Promise<GuestAttachment> {
    return this.#attachment === undefined || this.#attachment.isBroken ? this.attach() : this.#attachment;
  }

  /** Runs the script as a new command, and expects a result. */
  async run(script: string, change: Partial<GuestCommand> = {}): Promise<CommandResult & { text: string }> {
    const attachment = await this.current();
    const status = await attachment.run(command(script, change), { submittedBootId: undefined, signal: deadline() });
    const result = finished(status);
    return { ...result, text: text(result) };
  }

  /** Power off and on again; the attachment of before is gone. */
  async crash(): Promise<void> {
    this.machine.crash();
    await this.#attachment?.close();
    this.#attachment = undefined;
  }

  async dispose(): Promise<void> {
    await this.#attachment?.close();
    await this.machine.dispose();
  }
}

export function deadline(): AbortSignal {
  return AbortSignal.timeout(CALL_MS_MAX);
}
