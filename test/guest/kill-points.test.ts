/**
 * The runner's parts under kill -9 at each point of their protocol. Method: the shipped script names its points; for each of them a
 * copy is made whose process kills itself there, the first time it gets there. The command is then submitted until it is settled,
 * as workers would, and what was told is compared with the machine's own record and with a counter that the command advances.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { InnkeeperError } from '../../src/contracts/errors.js';
import type { CommandStatus, GuestAttachment, GuestCommand } from '../../src/guest/guest.js';
import { loadRunner, type RunnerSource } from '../../src/guest/runner-source.js';
import { AttachedMachine, CHANNELS, deadline } from './support/attached.js';
import { command, finished } from './support/commands.js';

const ATTEMPTS_MAX = 6;
const SHIPPED = loadRunner();
const POINTS = [...SHIPPED.text.matchAll(/^ *#@ (\S+)$/gm)].map((match) => match[1] ?? '');

/** What is settled after a death at the point, and how often the command may have run: [kind, least, most]. */
const AFTER_DEATH: Readonly<Record<string, readonly ['finished' | 'runner_died', number, number]>> = {
  'spec-written': ['finished', 1, 1],
  submitted: ['finished', 1, 1],
  assigned: ['finished', 1, 1],
  locked: ['finished', 1, 1],
  'started-unsynced': ['runner_died', 0, 0],
  started: ['runner_died', 0, 0],
  released: ['runner_died', 0, 1],
  ended: ['runner_died', 1, 1],
  'record-written': ['runner_died', 1, 1],
  result: ['finished', 1, 1],
};
/** Points on the way to a tombstone, reached only when the runner died before. */
const SETTLING_POINTS = ['before-void', 'record-written'];
const STOPPING_POINTS = ['stop-marked', 'session-ended'];

function deadlyRunner(points: readonly string[]): RunnerSource {
  let { text } = SHIPPED;
  for (const point of points) {
    const line = new RegExp(`^( *)#@ ${point}$`, 'gm');
    expect(text.match(line)).not.toBeNull();
    text = text.replace(line, `$1[[ -e ~/.died-${point} ]] || { : >~/.died-${point}; kill -KILL "$BASHPID"; }`);
  }
  const hash = createHash('sha256').update(text).digest('hex');
  return { text, hash, path: `~/.innkeeper/runner-${hash}.sh` };
}

/** What a worker does: attaches anew whenever the machine could not be reached. */
async function persist<T>(host: AttachedMachine, work: (attachment: GuestAttachment) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work(await host.current());
    } catch (error) {
      const isPassing = InnkeeperError.is(error) && error.code === 'GUEST_UNREACHABLE';
      if (!isPassing || attempt >= ATTEMPTS_MAX) throw error;
      await host.attach();
    }
  }
}

function timesRun(host: AttachedMachine): number {
  const path = join(host.machine.home, 'count');
  return existsSync(path) ? readFileSync(path, 'utf8').length : 0;
}

function checkRecord(host: AttachedMachine, which: GuestCommand, status: CommandStatus): void {
  const record = readFileSync(join(host.machine.home, `.innkeeper/journal/${which.cmdId}.result`), 'utf8');
  const { exitCode, outputHash } = finished(status);
  expect(record).toContain(`exit=${exitCode ?? ''} `);
  expect(record).toContain(` hash=${outputHash} `);
}

describe.each(CHANNELS)('kill -9 by %s', (channel) => {
  async function submitWith(points: readonly string[]): Promise<{ status: CommandStatus; runs: number }> {
    const host = new AttachedMachine(channel, deadlyRunner(points));
    try {
      const which = command('printf x >>count; seq 1 1000; exit 7');
      let submittedBootId: string | undefined;
      const submit = (): Promise<CommandStatus> =>
        persist(host, (attachment) => {
          submittedBootId ??= attachment.identity.bootId;
          return attachment.run(which, { submittedBootId, signal: deadline() });
        });
      const status = await submit();
      for (const point of points) expect(existsSync(join(host.machine.home, `.died-${point}`))).toBe(true);
      expect(await submit()).toEqual(status);
      if (status.kind === 'finished') {
        expect(status.result.exitCode).toBe(7);
        checkRecord(host, which, status);
      }
      const runs = timesRun(host);
      // Whatever died, the machine is fit for the next command.
      expect((await host.run('echo next')).text).toBe('next\n');
      expect(timesRun(host)).toBe(runs);
      return { status, runs };
    } finally {
      await host.dispose();
    }
  }

  test('every point of the shipped script is covered', () => {
    const covered = [...Object.keys(AFTER_DEATH), ...SETTLING_POINTS, ...STOPPING_POINTS];
    expect([...new Set(POINTS)].sort()).toEqual([...new Set(covered)].sort());
  });

  test.each(Object.entries(AFTER_DEATH))('at %s', async (point, [kind, least, most]) => {
    const { status, runs } = await submitWith([point]);
    if (kind === 'finished') expect(status.kind).toBe('finished');
    else expect(status).toMatchObject({ kind: 'void', reason: kind });
    expect(runs).toBeGreaterThanOrEqual(least);
    expect(runs).toBeLessThanOrEqual(most);
  });

  test.each(SETTLING_POINTS)('at %s, while a dead runner is being settled', async (point) => {
    const { status, runs } = await submitWith(['started', point]);
    expect(status).toMatchObject({ kind: 'void', reason: 'runner_died' });
    expect(runs).toBe(0);
  });

  test.each(STOPPING_POINTS)('at %s, while a command is being stopped', async (point) => {
    const host = new AttachedMachine(channel, deadlyRunner([point]));
    try {
      const which = command('printf x >>count; exec sleep 300');
      const waiting = persist(host, (attachment) =>
        attachment.run(which, { submittedBootId: undefined, signal: deadline() }),
      );
      await expect.poll(() => timesRun(host), { timeout: 10_000 }).toBe(1);
      const stopped = await persist(host, (attachment) =>
        attachment.stop(which.cmdId, { submittedBootId: undefined, signal: deadline() }),
      );
      expect(existsSync(join(host.machine.home, `.died-${point}`))).toBe(true);
      expect(finished(stopped)).toMatchObject({ stopped: true, exitCode: undefined });
      expect(await waiting).toEqual(stopped);
      checkRecord(host, which, stopped);
      expect(timesRun(host)).toBe(1);
    } finally {
      await host.dispose();
    }
  });
});
