/**
 * A machine with the real runner in a real shell, a few commands, and what may befall them; beside it the reference model: what a
 * worker was told, and which deaths happened to whom. After any steps the world is brought to rest and compared with the machine's
 * own record.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { InnkeeperError } from '../../../src/contracts/errors.js';
import type { CommandStatus, GuestAttachment, GuestCommand, VoidReason } from '../../../src/guest/guest.js';
import { waitFor } from '../../support/wait-for.js';
import type { RunnerSource } from '../../../src/guest/runner-source.js';
import { AttachedMachine, deadline } from './attached.js';
import { command, text } from './commands.js';
import { killRunners } from './processes.js';

export const STEP_KINDS = [
  'send',
  'release',
  'await start',
  'await end',
  'drop',
  'double',
  'mute',
  'replay',
  'crash runner',
  'crash shell',
  'crash guest',
  'reattach',
  'cancel',
] as const;

export interface Step {
  readonly kind: (typeof STEP_KINDS)[number];
  /** Which command, or which line. */
  readonly target: number;
}

export const COMMANDS = 2;
/** Attachments that a worker opens for one question before something is wrong. */
const ATTEMPTS_MAX = 12;
const EXIT_CODE = 11;
const OUTPUT = `begun\n${Array.from({ length: 40 }, (_, n) => `${n + 1}\n`).join('')}`;
const UNKNOWN: readonly VoidReason[] = ['runner_died', 'boot_changed', 'disk_rolled_back'];

/** What the reference model knows of one command. */
interface Known {
  readonly command: GuestCommand;
  /** As Postgres would have it: stored before the first submission. */
  submittedBootId: string | undefined;
  isCancelled: boolean;
  /** Its runner or its machine died before it had a result: then, and only then, it may be unknown. */
  hasMetDeath: boolean;
  told: CommandStatus | undefined;
  /** Calls about it that nobody waits for and that have not ended. */
  calls: number;
}

interface Line {
  readonly bytes: Buffer;
  readonly forward: (bytes: Buffer) => void;
}

export class ProtocolWorld {
  readonly #host: AttachedMachine;
  readonly #known: readonly Known[];
  readonly #lines: Line[] = [];
  /** Calls that nobody waits for: what they are told is checked when they end. */
  readonly #calls = new Set<Promise<void>>();
  readonly #problems: unknown[] = [];
  #nextInput: 'drop' | 'double' | undefined;
  #isNextOutputLost = false;

  /** `runner`: another than the shipped one. */
  constructor(runner?: RunnerSource) {
    this.#host = new AttachedMachine('terminal', runner);
    this.#known = Array.from({ length: COMMANDS }, (_, index) => ({
      command: command(
        `printf x >>~/count.${index}; echo begun; until [ -e ~/go.${index} ]; do sleep 0.01; done; seq 1 40; exit ${EXIT_CODE}`,
      ),
      submittedBootId: undefined,
      isCancelled: false,
      hasMetDeath: false,
      told: undefined,
      calls: 0,
    }));
    this.#host.machine.faults = {
      onInput: (bytes, forward) => this.#onInput(bytes, forward),
      onOutput: (bytes, forward) => {
        if (!this.#isNextOutputLost) return forward(bytes);
        this.#isNextOutputLost = false;
      },
    };
  }

  async take({ kind, target }: Step): Promise<void> {
    const known = this.#known[target % COMMANDS]!;
    switch (kind) {
      case 'send':
        return this.#inBackground(known, (attachment) => this.#run(known, attachment));
      case 'cancel':
        known.isCancelled = true;
        return this.#inBackground(known, (attachment) => this.#stop(known, attachment));
      case 'release':
        return this.#release(target % COMMANDS);
      case 'await start':
        return this.#awaitFile(known, ['started', 'result', 'void']);
      case 'await end':
        this.#release(target % COMMANDS);
        return this.#awaitFile(known, ['result', 'void']);
      case 'drop':
      case 'double':
        this.#nextInput = kind;
        return;
      case 'mute':
        this.#isNextOutputLost = true;
        return;
      case 'replay': {
        const line = this.#lines[this.#lines.length - 1 - (target % Math.max(1, this.#lines.length))];
        line?.forward(line.bytes);
        return;
      }
      case 'crash runner': {
        const unsettled = this.#unsettled();
        await killRunners(this.#host.machine, 'run');
        // Those that it had begun: what was not begun may still be, by another runner.
        return meetDeath(unsettled.filter((of) => this.#has(of, 'started')));
      }
      case 'crash shell':
        return killRunners(this.#host.machine, 'serve');
      case 'crash guest': {
        const unsettled = this.#unsettled();
        await this.#host.crash();
        return meetDeath(unsettled.filter((of) => of.submittedBootId !== undefined));
      }
      case 'reattach':
        return void (await this.#attach());
    }
  }

  /** Lets everything come to its end, and compares what was told with what is on the machine. Answers how the commands ended. */
  async check(): Promise<string[]> {
    this.#nextInput = undefined;
    this.#isNextOutputLost = false;
    for (let index = 0; index < COMMANDS; index += 1) this.#release(index);
    for (const known of this.#known) {
      if (known.isCancelled) await this.#persist((attachment) => this.#stop(known, attachment));
      await this.#persist((attachment) => this.#run(known, attachment));
    }
    await Promise.all(this.#calls);
    for (const line of this.#lines) line.forward(line.bytes); // Every line once more, after everything is over.
    // An answer to a question that was asked behind them: they have been read.
    await this.#host.run('true').catch((error: unknown) => this.#pass(error));
    for (const known of this.#known) await this.#persist((attachment) => this.#run(known, attachment));
    if (this.#problems.length > 0) throw this.#problems[0];
    this.#known.forEach((known, index) => this.#compare(known, index));
    return this.#known.map(({ told }) => {
      if (told?.kind === 'void') return told.reason;
      return told?.kind === 'finished' && told.result.stopped ? 'stopped' : 'finished';
    });
  }

  async dispose(): Promise<void> {
    await this.#host.dispose();
    await Promise.all(this.#calls);
  }

  #compare({ command: { cmdId }, told, isCancelled, hasMetDeath }: Known, index: number): void {
    const runs = this.#read(`count.${index}`).length;
    expect(runs, 'times that the command ran').toBeLessThanOrEqual(1);
    if (told?.kind === 'void') {
      if (UNKNOWN.includes(told.reason)) expect(hasMetDeath, `${told.reason} without a death`).toBe(true);
      else expect([isCancelled, runs], told.reason).toEqual([true, 0]);
      return;
    }
    if (told?.kind !== 'finished') throw new Error(`not settled: ${JSON.stringify(told)}`);
    const { exitCode, signal, stopped, output, outputHash } = told.result;
    const record = this.#read(`.innkeeper/journal/${cmdId}.result`);
    expect(record).toContain(`exit=${exitCode ?? ''} signal=${signal ?? ''} `);
    expect(record).toContain(` hash=${outputHash} `);
    expect(createHash('sha256').update(output.head).update(output.tail).digest('hex')).toBe(outputHash);
    expect(runs).toBe(1);
    if (stopped) expect(isCancelled, 'stopped without a cancel').toBe(true);
    else expect([exitCode, text(told.result)]).toEqual([EXIT_CODE, OUTPUT]);
  }

  async #run(known: Known, attachment: GuestAttachment): Promise<void> {
    known.submittedBootId ??= attachment.identity.bootId;
    const { submittedBootId } = known;
    this.#note(known, await attachment.run(known.command, { submittedBootId, signal: deadline() }));
  }

  async #stop(known: Known, attachment: GuestAttachment): Promise<void> {
    const { submittedBootId } = known;
    const options = { submittedBootId, signal: deadline(), graceMs: 300 };
    this.#note(known, await attachment.stop(known.command.cmdId, options));
  }

  /** Once anything was told of a command, nothing else ever is. */
  #note(known: Known, status: CommandStatus): void {
    known.told ??= status;
    expect(status, 'told otherwise before').toEqual(known.told);
  }

  async #inBackground(known: Known, work: (attachment: GuestAttachment) => Promise<void>): Promise<void> {
    const attachment = await this.#attachment();
    known.calls += 1;
    const call = work(attachment).catch((error: unknown) => this.#pass(error));
    this.#calls.add(call);
    void call.then(() => {
      known.calls -= 1;
      this.#calls.delete(call);
    });
  }

  /** What a worker does: attaches anew whenever the machine could not be reached. */
  async #persist(work: (attachment: GuestAttachment) => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await work(await this.#attachment());
      } catch (error) {
        if (attempt >= ATTEMPTS_MAX || !isPassing(error)) throw error;
      }
    }
  }

  async #attachment(): Promise<GuestAttachment> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#host.current();
      } catch (error) {
        if (attempt >= ATTEMPTS_MAX || !isPassing(error)) throw error;
      }
    }
  }

  async #attach(): Promise<void> {
    await this.#host.attach().catch((error: unknown) => this.#pass(error));
  }

  /** An attachment that is lost is the worker's everyday life; anything else is a finding. */
  #pass(error: unknown): void {
    if (!isPassing(error)) this.#problems.push(error);
  }

  #onInput(bytes: Buffer, forward: (bytes: Buffer) => void): void {
    // The greeting is typed into a shell that is only starting: faults of that are tested elsewhere.
    if (bytes.includes('unset HISTFILE')) return forward(bytes);
    this.#lines.push({ bytes, forward });
    const fault = this.#nextInput;
    this.#nextInput = undefined;
    if (fault === 'drop') return;
    forward(bytes);
    if (fault === 'double') forward(bytes);
  }

  /** To be asked before a death: whoever waits for a command says that its runner died within milliseconds of it. */
  #unsettled(): Known[] {
    return this.#known.filter((known) => !this.#has(known, 'result') && !this.#has(known, 'void'));
  }

  /** Waits for one of a command's records, but no longer than anybody asks for them. */
  async #awaitFile(known: Known, suffixes: readonly string[]): Promise<void> {
    await waitFor('a record', () => known.calls === 0 || suffixes.some((suffix) => this.#has(known, suffix)));
  }

  #has({ command: { cmdId } }: Known, suffix: string): boolean {
    return existsSync(join(this.#host.machine.home, '.innkeeper/journal', `${cmdId}.${suffix}`));
  }

  #release(index: number): void {
    writeFileSync(join(this.#host.machine.home, `go.${index}`), '');
  }

  #read(path: string): string {
    const file = join(this.#host.machine.home, path);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }
}

function meetDeath(met: readonly Known[]): void {
  for (const known of met) known.hasMetDeath = true;
}

function isPassing(error: unknown): boolean {
  return InnkeeperError.is(error) && (error.code === 'GUEST_UNREACHABLE' || error.code === 'ATTACHMENT_FENCED');
}
