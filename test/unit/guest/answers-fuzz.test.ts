/**
 * Goal: whatever a machine answers, a question over either channel ends with an outcome that makes sense, with a coded error, or
 * when its caller gives up; it asks no more often than it must. Method: a terminal and executions that answer with made-up records.
 */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { InnkeeperError, isErrorCode } from '../../../src/contracts/errors.js';
import { attachByExecutions } from '../../../src/guest/execution-attachment.js';
import { follow } from '../../../src/guest/follow.js';
import type { CommandStatus } from '../../../src/guest/guest.js';
import { createLiveOutput } from '../../../src/guest/live-output.js';
import { loadRunner } from '../../../src/guest/runner-source.js';
import { TerminalChannel } from '../../../src/guest/terminal-channel.js';
import type { MachineProvider, Terminal } from '../../../src/machines/provider.js';
import { runs } from '../../support/properties.js';
import { command } from '../../guest/support/commands.js';
import { frameOf } from './support/frames.js';

const TAG = 'a1b2c3d4e5f60718';
const NAME = 'cmd-1';
/** Executions after which the caller of a test gives up. */
const CALLS_MAX = 40;

const kind = fc.constantFrom(
  ...['result', 'void', 'stopped-result', 'stopped-void', 'running', 'absent', 'refused', 'stopping', 'hello', 'part'],
  ...['toString', 'constructor', '__proto__', 'hasOwnProperty', 'x'],
);
const value = fc.constantFrom(
  ...['', '0', '1', '3', '-1', '1.5', '1e9', '999999999999999', '9999999999999999999', 'NaN', 'x', 'SIGTERM'],
  ...['fenced', 'owner', 'conflict', 'runner_died', 'toString'],
);
const keys = [
  'exit',
  'signal',
  'timedout',
  'stopped',
  'started',
  'ended',
  'total',
  'head',
  'tail',
  'hash',
  'reason',
  'boot',
  'bytes',
  'offset',
];

interface Said {
  readonly kind: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly isHashed: boolean;
}
const said: fc.Arbitrary<Said> = fc.record({
  kind,
  fields: fc.dictionary(fc.constantFrom(...keys), value, { maxKeys: keys.length }),
  body: fc.uint8Array({ maxLength: 6 }),
  isHashed: fc.boolean(),
});

function toFrame(tag: string, name: string, { kind: what, fields, body, isHashed }: Said): Buffer {
  const hash = createHash('sha256').update(body).digest('hex');
  const all = isHashed ? { ...fields, hash, head: String(body.length), tail: '0' } : fields;
  const text = Object.entries(all).map(([key, word]) => `${key}=${word}`);
  return frameOf(tag, what, name, text.join(' '), Buffer.from(body));
}

/** Fails unless this is an outcome that the runner could have meant. */
function checkStatus(status: CommandStatus): void {
  if (status.kind !== 'finished' && status.kind !== 'void') throw new Error(`not final: ${status.kind}`);
  const { output } = status.kind === 'finished' ? status.result : status;
  expect(Number.isSafeInteger(output.totalBytes)).toBe(true);
  expect(output.totalBytes).toBeGreaterThanOrEqual(output.head.length + output.tail.length);
  if (status.kind === 'void') return;
  const { exitCode, signal, startedAtMs, endedAtMs } = status.result;
  expect((exitCode === undefined) === (signal !== undefined)).toBe(true);
  if (exitCode !== undefined) expect(Number.isInteger(exitCode) && exitCode >= 0 && exitCode <= 255).toBe(true);
  expect(Number.isSafeInteger(startedAtMs) && Number.isSafeInteger(endedAtMs)).toBe(true);
}

function checkError(error: unknown, given: unknown): void {
  if (error === given) return;
  if (!InnkeeperError.is(error)) throw new Error(`not one of our errors: ${String(error)}`);
  expect(isErrorCode(error.code)).toBe(true);
}

describe('by terminal', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function openFake(): { channel: TerminalChannel; emit: (bytes: Buffer) => void; written: () => number } {
    let listener: (bytes: Uint8Array) => void = () => undefined;
    let close: (end: { code: undefined; reason: string }) => void = () => undefined;
    let written = 0;
    const terminal: Terminal = {
      terminalId: 't',
      closed: new Promise((resolve) => (close = resolve)),
      write: () => void (written += 1),
      unsentBytes: 0,
      resize: () => undefined,
      pause: () => undefined,
      onOutput: (next) => void (listener = next),
      close: async () => close({ code: undefined, reason: 'closed' }),
    };
    return { channel: new TerminalChannel(terminal, TAG), emit: (bytes) => listener(bytes), written: () => written };
  }

  test('a question ends, or waits on, whatever is said', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(said, { maxLength: 12 }), async (records) => {
        const { channel, emit, written } = openFake();
        const caller = new AbortController();
        const given = new Error('the caller gave up');
        const pieces: Uint8Array[] = [];
        const heard = {
          offset: 0,
          hear: (bytes: Uint8Array) => (heard.offset += pieces[pieces.push(bytes) - 1]!.length),
        };
        const live = createLiveOutput(heard);
        const [opening, reminder, repair] = ['o', 'r', 'b'].map((text) => () => Buffer.from(text)) as [
          () => Buffer,
          () => Buffer,
          () => Buffer,
        ];
        const answer = follow(channel, {
          ...{ name: NAME, opening, reminder, repair: repair(), signal: caller.signal },
          answers: { result: 'result', void: 'void' },
          onRunning: (frame) => live.take(frame),
        });
        const outcome = answer.then(checkStatus, (error: unknown) => checkError(error, given));
        for (const record of records) emit(toFrame(TAG, NAME, record));
        caller.abort(given);
        await outcome;
        expect(written()).toBeLessThanOrEqual(records.length + 1);
        expect(pieces.every(({ length }) => length > 0)).toBe(true);
        expect(heard.offset).toBeLessThanOrEqual(records.reduce((sum, { body }) => sum + body.length, 0));
        expect(vi.getTimerCount()).toBe(0);
      }),
      runs(1_000),
    );
  });

  test('a record of a kind that every object has is no answer', async () => {
    const { channel, emit } = openFake();
    const caller = new AbortController();
    const line = Buffer.from('x');
    const answer = follow(channel, {
      ...{ name: NAME, opening: () => line, reminder: () => line, repair: line, signal: caller.signal },
      answers: { result: 'result' },
    });
    const fields = { exit: '0', signal: '', timedout: '0', stopped: '0', started: '1', ended: '2', total: '0' };
    emit(toFrame(TAG, NAME, { kind: 'toString', fields, body: new Uint8Array(), isHashed: true }));
    emit(
      toFrame(TAG, NAME, { kind: 'result', fields: { ...fields, exit: '7' }, body: new Uint8Array(), isHashed: true }),
    );
    expect(await answer).toMatchObject({ kind: 'finished', result: { exitCode: 7 } });
  });
});

describe('by executions', () => {
  /** Answers the n-th execution with the n-th records, at the end with the last ones again. */
  function machineOf(
    answers: readonly (readonly Said[])[],
    giveUp: () => void,
  ): { machines: MachineProvider; calls: () => number } {
    let calls = 0;
    const machines = {
      hasTerminals: () => false,
      execute: (_machineId: string, { argv }: { argv: readonly string[] }) => {
        calls += 1;
        if (calls >= CALLS_MAX) giveUp();
        const tag = argv[5] ?? '';
        const records = calls === 1 ? [HELLO] : (answers[(calls - 2) % Math.max(1, answers.length)] ?? []);
        const name = calls === 1 ? '-' : NAME;
        const stdout = Buffer.concat(records.map((record) => toFrame(tag, name, record))).toString('utf8');
        const end = { exitCode: 0, signal: undefined, expired: false, stderr: '', stdoutTruncated: false };
        return Promise.resolve({ executionId: 'e', stdout, ...end });
      },
    } as unknown as MachineProvider;
    return { machines, calls: () => calls };
  }
  const HELLO: Said = { kind: 'hello', fields: { boot: 'boot-1' }, body: new Uint8Array(), isHashed: false };

  async function ask(answers: readonly (readonly Said[])[], verb: 'run' | 'stop'): Promise<void> {
    const caller = new AbortController();
    const given = new Error('the caller gave up');
    const { machines, calls } = machineOf(answers, () => caller.abort(given));
    const attachment = await attachByExecutions(
      { machineId: 'm', attachment: 1, ownerNonce: 'owner', signal: new AbortController().signal },
      { machines, runner: loadRunner(), newKey: () => 'key' },
    );
    // As a provider does: a call under a signal that is aborted is refused.
    const { execute } = machines;
    machines.execute = (id, request, options) => {
      options.signal?.throwIfAborted();
      return execute(id, request, options);
    };
    const options = { submittedBootId: undefined, signal: caller.signal };
    const work =
      verb === 'run' ? attachment.run(command('true', { cmdId: NAME }), options) : attachment.stop(NAME, options);
    await work.then(checkStatus, (error: unknown) => checkError(error, given));
    expect(calls()).toBeLessThanOrEqual(CALLS_MAX);
  }

  test('a question ends, or is given up, whatever is said', async () => {
    const answers = fc.array(fc.array(said, { maxLength: 3 }), { minLength: 1, maxLength: 5 });
    await fc.assert(fc.asyncProperty(answers, fc.constantFrom('run', 'stop'), ask), runs(500));
  });

  test('an output that is named far too large is not gathered', async () => {
    const caller = new AbortController();
    const fields = {
      exit: '0',
      signal: '',
      timedout: '0',
      stopped: '0',
      started: '1',
      ended: '2',
      total: '999999999999999',
    };
    const endless: Said = {
      kind: 'result',
      fields: { ...fields, head: '999999999999999', tail: '0', hash: 'x' },
      body: new Uint8Array(),
      isHashed: false,
    };
    const part: Said = { kind: 'part', fields: {}, body: new Uint8Array(64), isHashed: false };
    const { machines, calls } = machineOf([[endless], [part], [part]], () => caller.abort(new Error('it never ends')));
    const attachment = await attachByExecutions(
      { machineId: 'm', attachment: 1, ownerNonce: 'owner', signal: caller.signal },
      { machines, runner: loadRunner(), newKey: () => 'key' },
    );
    const work = attachment.run(command('true', { cmdId: NAME }), {
      submittedBootId: undefined,
      signal: caller.signal,
    });
    await expect(work).rejects.toMatchObject({ code: 'GUEST_UNREACHABLE' });
    expect(calls()).toBe(2);
  });
});
