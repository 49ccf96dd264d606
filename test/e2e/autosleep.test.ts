/**
 * A provider that puts machines to sleep by itself (300 s without a request; g2 has no setting for it) during a command of ten
 * minutes. The emulator's clock runs 150 times as fast, so ten minutes are four seconds.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { awakeIntervals } from '../../src/story/record/provider-record.js';
import { say } from './support/actions.js';
import { openStage, type Stage } from './support/stage.js';

const CLOCK_RATE = 150;
/** Two minutes of the provider's time, which is what the setting is by default. */
const KEEP_AWAKE_MS = 120_000 / CLOCK_RATE;
/** Longer than anything here: the machine is left to itself. */
const NEVER_MS = 299_999;
const TEN_MINUTES = '$ echo ran >> ~/runs.txt; sleep 6; echo over';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage({ workers: 0 });
  await stage.stack.emulator.call('POST', '/_emulator/clock', { rate: CLOCK_RATE });
  // By this clock falling asleep takes a minute, and is part of what was metered.
  await stage.stack.emulator.call('PUT', '/_emulator/settings', { sleepMs: 400 });
});
afterAll(() => stage.close());

async function autosleeps(userId: string): Promise<number> {
  const machineId = await stage.machineId(userId);
  const entries = await stage.provider.ledger(0);
  return entries.filter(
    (entry) => entry.kind === 'machine.desired' && entry.machineId === machineId && entry['cause'] === 'autosleep',
  ).length;
}

describe('a command of ten minutes', () => {
  it('is not cut: the machine is touched while it runs', async () => {
    const userId = 'touched';
    const branch = stage.stack.openBranch({ env: { MACHINE_KEEP_AWAKE_MS: String(KEEP_AWAKE_MS) } });
    await branch.startWorker();
    try {
      const result = await say(branch.client, { userId, turnId: 'long', prompt: TEN_MINUTES });
      expect(result).toMatchObject({ state: 'completed' });
      expect(result.answer).toContain('over');
      expect(await autosleeps(userId)).toBe(0);
      expect(await stage.database.calls({ userId, turnId: 'long' })).toMatchObject([
        { outcome: 'exited', exitCode: 0 },
      ]);
    } finally {
      await branch.stop();
    }
  });

  it('that is cut all the same is unknown, told to the agent, and never run again', async () => {
    const userId = 'left-alone';
    const branch = stage.stack.openBranch({ env: { MACHINE_KEEP_AWAKE_MS: String(NEVER_MS) } });
    await branch.startWorker();
    try {
      const prompt = `${TEN_MINUTES}\n$ echo after >> ~/runs.txt`;
      const result = await say(branch.client, { userId, turnId: 'long', prompt });
      // The machine is not to fall asleep again while the records are compared.
      await stage.stack.emulator.call('POST', '/_emulator/clock', { rate: 1 });
      expect(result, branch.workerLog()).toMatchObject({ state: 'completed' });
      expect(await autosleeps(userId)).toBeGreaterThan(0);
      const [cut, after] = await stage.database.calls({ userId, turnId: 'long' });
      expect(cut).toMatchObject({ outcome: 'unknown', exitCode: null });
      expect(after).toMatchObject({ outcome: 'exited', exitCode: 0 });
      // What the tool call of the next model call said.
      expect(cut?.shown).toMatch(/unknown|not known/i);
      expect(result.answer).toContain(cut?.shown.split('\n')[0] ?? 'no text');
      expect(await stage.lines(userId, 'runs.txt')).toEqual(['ran', 'after']);
      expect((await stage.journal(userId)).map(({ starts }) => starts)).toEqual([1, 1]);
      await expectMetered(userId);
    } finally {
      await branch.stop();
    }
  });
});

/** What was metered is what the provider counts, the sleep that nobody asked for included. */
async function expectMetered(userId: string): Promise<void> {
  const nowMs = await stage.provider.nowMs();
  const theirs = awakeIntervals(await stage.provider.ledger(0), await stage.machineId(userId), nowMs);
  const rows = await stage.sql<{ seconds: number }>(
    `select sum(extract(epoch from least(coalesce(ended_at, $2), $2) - started_at))::float8 as seconds
     from awake_intervals where user_id = $1`,
    [userId, new Date(nowMs)],
  );
  const seconds = theirs.reduce((sum, { fromMs, untilMs }) => sum + (untilMs - fromMs) / 1_000, 0);
  expect(Math.abs((rows[0]?.seconds ?? 0) - seconds) / seconds).toBeLessThan(0.01);
}
