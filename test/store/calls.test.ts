/** Goal: a submission is stored before anything is sent, and the first outcome stays. Method: tries that overlap, on real Postgres. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requestCancel } from '../../src/store/admission.js';
import { beginCall, callsToStop, nextAttachment, unsettledCalls } from '../../src/store/calls.js';
import { readEvents } from '../../src/store/events.js';
import { endLease, takeLease } from '../../src/store/leases.js';
import { buryMachine } from '../../src/store/machines.js';
import { settleCall, type SettleCallOptions } from '../../src/store/settle.js';
import { statement } from '../../src/store/sql.js';
import { storeSubmission } from '../../src/store/submission.js';
import { bash, makeReady, openLane, openStore, type TestLane, type TestStore } from './support/lanes.js';

let test: TestStore;
beforeAll(async () => {
  test = await openStore();
});
afterAll(() => test.close());

interface Prepared {
  readonly lane: TestLane;
  readonly key: { readonly turnKey: string; readonly step: number; readonly index: number };
  readonly boot: { readonly generation: number; readonly bootId: string };
}

/** A turn with one unsettled `bash` call and a machine that is ready. */
async function prepare(userId: string): Promise<Prepared> {
  const lane = openLane(test.store, userId);
  const turn = await lane.run('t1');
  await lane.answer(turn, 0, [bash('make')]);
  const { generation } = await makeReady(test.store, lane);
  return { lane, key: { turnKey: turn.turnKey, step: 0, index: 0 }, boot: { generation, bootId: 'boot-1' } };
}

const exited: Pick<SettleCallOptions, 'outcome' | 'reason' | 'shown' | 'result'> = {
  ...{ outcome: 'exited', reason: null, shown: 'hi\n' },
  result: {
    ...{ exitCode: 3, outputBytes: 3, outputHash: 'abc', startedAtMs: 1_000, endedAtMs: 2_000 },
    ...{ outputHead: new TextEncoder().encode('hi\n'), outputTail: new Uint8Array() },
  },
};
const settle = (
  { lane, key }: Prepared,
  more: Partial<Omit<SettleCallOptions, 'try'>> & { readonly try: number | null },
) => settleCall(test.store, { ...lane, ...key, ...exited, ...more });
const types = async (userId: string) =>
  (await readEvents(test.store, { userId, after: 0, limit: 100 })).map(({ body }) => body.type);

describe('beginCall', () => {
  it('stores the submission at once under the boot that the machine still has', async () => {
    const { lane, key, boot } = await prepare('warm');
    expect(await beginCall(test.store, { ...lane, ...key, boot: { ...boot, attachment: 4 } })).toMatchObject({
      ...{ kind: 'begin', try: 1, submitted: null, isSubmissionStored: true, userId: 'warm' },
      call: { cmdId: `${key.turnKey}-0-0`, tool: 'bash', argumentsJson: '{"command":"make"}', callId: 'call-make' },
      machine: { phase: 'ready', generation: 1, bootId: 'boot-1', home: '/root' },
    });
    expect((await types('warm')).at(-1)).toBe('command.started');
    expect(await unsettledCalls(test.store, key)).toEqual([
      { step: 0, index: 0, cmdId: `${key.turnKey}-0-0`, tool: 'bash', submitted: boot },
    ]);
  });

  it('tells a second try under which boot the first submitted, and stores none anew', async () => {
    const { lane, key, boot } = await prepare('second');
    await beginCall(test.store, { ...lane, ...key, boot });
    const again = await beginCall(test.store, { ...lane, ...key, boot });
    expect(again).toMatchObject({ kind: 'begin', try: 2, submitted: boot, isSubmissionStored: false });
    expect((await types('second')).filter((type) => type === 'command.started')).toHaveLength(1);
  });

  it('stores no submission under a boot that is not the machine’s any more', async () => {
    const { lane, key, boot } = await prepare('rebooted');
    for (const other of [{ ...boot, bootId: 'boot-0' }, { ...boot, generation: 2 }, null]) {
      const begun = await beginCall(test.store, { ...lane, ...key, boot: other });
      expect(begun).toMatchObject({ kind: 'begin', submitted: null, isSubmissionStored: false });
    }
    expect(await unsettledCalls(test.store, key)).toEqual([]);
  });

  it('starts nothing in a turn that is cancelled or closed', async () => {
    const { lane, key, boot } = await prepare('shut');
    await requestCancel(test.store, { userId: 'shut', turnId: 't1' });
    expect(await beginCall(test.store, { ...lane, ...key, boot })).toEqual({ kind: 'closed' });
    await lane.close('t1');
    expect(await beginCall(test.store, { ...lane, ...key, boot })).toEqual({ kind: 'closed' });
    expect(await unsettledCalls(test.store, key)).toEqual([]);
  });

  it('refuses a run that lost the lane', async () => {
    const { lane, key, boot } = await prepare('lost-lane');
    await openLane(test.store, 'lost-lane', 'run-2').open();
    await expect(beginCall(test.store, { ...lane, ...key, boot })).rejects.toMatchObject({ code: 'STALE_LANE' });
    expect(await unsettledCalls(test.store, key)).toEqual([]);
  });
});

describe('storeSubmission', () => {
  it('stores once, may be repeated, and refuses an older try and another boot', async () => {
    const { lane, key, boot } = await prepare('submit');
    await beginCall(test.store, { ...lane, ...key, boot: null });
    await beginCall(test.store, { ...lane, ...key, boot: null });
    const submit = (more: object) => storeSubmission(test.store, { ...lane, ...key, ...boot, try: 2, ...more });
    await expect(submit({ try: 1 })).rejects.toMatchObject({ code: 'STALE_TRY' });
    expect(await submit({ attachment: 1 })).toBe('stored');
    expect(await submit({ attachment: 2 })).toBe('stored');
    await expect(submit({ bootId: 'boot-2' })).rejects.toMatchObject({ code: 'STALE_TRY' });
    expect((await types('submit')).filter((type) => type === 'command.started')).toHaveLength(1);
  });

  it('tells only a turn that is over from an attempt that is: cancelled, settled, its machine buried', async () => {
    const submit = ({ lane, key, boot }: Prepared): Promise<string> =>
      storeSubmission(test.store, { ...lane, ...key, ...boot, try: 1 });
    const cancelled = await prepare('submit-cancelled');
    await beginCall(test.store, { ...cancelled.lane, ...cancelled.key, boot: null });
    await requestCancel(test.store, { userId: 'submit-cancelled', turnId: 't1' });
    expect(await submit(cancelled)).toBe('closed');

    const settled = await prepare('submit-settled');
    await beginCall(test.store, { ...settled.lane, ...settled.key, boot: null });
    await settle(settled, { try: 1 });
    await expect(submit(settled)).rejects.toMatchObject({ code: 'STALE_TRY' });

    const buried = await prepare('submit-buried');
    await beginCall(test.store, { ...buried.lane, ...buried.key, boot: null });
    await buryMachine(test.store, { ...buried.lane, generation: 1, existedUntil: new Date() });
    await expect(submit(buried)).rejects.toMatchObject({ code: 'STALE_TRY' });
  });
});

describe('while a person has the keyboard', () => {
  const take = (userId: string) => takeLease(test.store, { userId, kind: 'terminal', holder: 'user', leaseMs: 60_000 });
  const die = statement(
    'test_die_lease',
    'update machine_leases set taken_at = to_timestamp(0), expires_at = to_timestamp(0) where lease_id = $1',
  );

  it('a command that was never submitted is held, and begins once they hand it back', async () => {
    const { lane, key, boot } = await prepare('held');
    const lease = await take('held');
    expect(await beginCall(test.store, { ...lane, ...key, boot })).toEqual({ kind: 'held' });
    expect(await beginCall(test.store, { ...lane, ...key, boot: null })).toEqual({ kind: 'held' });
    await endLease(test.store, lease);
    expect(await beginCall(test.store, { ...lane, ...key, boot })).toMatchObject({ kind: 'begin', try: 1 });
    expect((await types('held')).slice(-3)).toEqual(['terminal.taken', 'terminal.handed_back', 'command.started']);
  });

  it('a command that they came before, between its beginning and its submission, is held too', async () => {
    const { lane, key, boot } = await prepare('overtaken');
    await beginCall(test.store, { ...lane, ...key, boot: null });
    const lease = await take('overtaken');
    const submit = () => storeSubmission(test.store, { ...lane, ...key, ...boot, try: 1 });
    expect(await submit()).toBe('held');
    expect(await unsettledCalls(test.store, key)).toEqual([]);
    await endLease(test.store, lease);
    expect(await submit()).toBe('stored');
  });

  it('a command that was submitted goes on, and a turn that is cancelled waits for nobody', async () => {
    const { lane, key, boot } = await prepare('running');
    await beginCall(test.store, { ...lane, ...key, boot });
    await take('running');
    expect(await beginCall(test.store, { ...lane, ...key, boot })).toMatchObject({ kind: 'begin', submitted: boot });
    expect(await storeSubmission(test.store, { ...lane, ...key, ...boot, try: 2 })).toBe('stored');
    const cancelled = await prepare('held-cancelled');
    await take('held-cancelled');
    await requestCancel(test.store, { userId: 'held-cancelled', turnId: 't1' });
    expect(await beginCall(test.store, { ...cancelled.lane, ...cancelled.key, boot })).toEqual({ kind: 'closed' });
  });

  it('whoever was here and is gone holds nobody, and the agent is told', async () => {
    const { lane, key, boot } = await prepare('left');
    const { leaseId } = await take('left');
    await test.store.query(die, [leaseId]);
    expect(await beginCall(test.store, { ...lane, ...key, boot })).toMatchObject({ kind: 'begin' });
    const events = await readEvents(test.store, { userId: 'left', after: 0, limit: 100 });
    expect(events.map(({ body }) => body)).toContainEqual({
      ...{ type: 'terminal.handed_back', reason: 'expired', directory: null },
    });
  });

  it('a take and a submission never both come first', async () => {
    for (let round = 0; round < 20; round += 1) {
      const { lane, key, boot } = await prepare(`keys-${round}`);
      const [begun] = await Promise.all([beginCall(test.store, { ...lane, ...key, boot }), take(`keys-${round}`)]);
      const order = (await types(`keys-${round}`)).filter((type) => /command.started|terminal.taken/.test(type));
      expect(order).toEqual(begun.kind === 'held' ? ['terminal.taken'] : ['command.started', 'terminal.taken']);
    }
  });
});

describe('settleCall', () => {
  it('keeps the first outcome, whoever brings the second', async () => {
    const prepared = await prepare('outcome');
    const { lane, key, boot } = prepared;
    await beginCall(test.store, { ...lane, ...key, boot });
    const both = await Promise.all([
      settle(prepared, { try: 1 }),
      settle(prepared, { try: null, outcome: 'cancelled', result: {}, shown: 'cancelled' }),
    ]);
    const first = both.find((one) => one.isFirst);
    expect(both.filter((one) => one.isFirst)).toHaveLength(1);
    expect(both.map(({ outcome, exitCode }) => ({ outcome, exitCode }))).toEqual(
      [first, first].map((one) => ({ outcome: one?.outcome, exitCode: one?.exitCode })),
    );
    const begun = await beginCall(test.store, { ...lane, ...key, boot });
    expect(begun).toEqual({ kind: 'settled', outcome: first?.outcome, exitCode: first?.exitCode });
    expect((await types('outcome')).filter((type) => type === 'command.ended')).toHaveLength(1);
  });

  it('shows the command’s end in the event log', async () => {
    const prepared = await prepare('shown');
    await beginCall(test.store, { ...prepared.lane, ...prepared.key, boot: prepared.boot });
    expect(await settle(prepared, { try: 1 })).toEqual({ outcome: 'exited', exitCode: 3, isFirst: true });
    const events = await readEvents(test.store, { userId: 'shown', after: 0, limit: 100, turnId: 't1' });
    expect(events.at(-1)).toMatchObject({
      turnId: 't1',
      body: { type: 'command.ended', outcome: 'exited', exitCode: 3, outputBytes: 3, output: 'hi\n' },
    });
  });

  it('refuses an older try, and a run that lost the lane unless it speaks for none', async () => {
    const prepared = await prepare('old-try');
    const { lane, key, boot } = prepared;
    await beginCall(test.store, { ...lane, ...key, boot });
    await beginCall(test.store, { ...lane, ...key, boot });
    await expect(settle(prepared, { try: 1 })).rejects.toMatchObject({ code: 'STALE_TRY' });
    await openLane(test.store, 'old-try', 'run-2').open();
    await expect(settle(prepared, { try: 2 })).rejects.toMatchObject({ code: 'STALE_LANE' });
    expect(await settle(prepared, { runId: null, try: null })).toMatchObject({ isFirst: true });
  });

  it('records what happened even when the turn is over', async () => {
    const prepared = await prepare('late');
    await beginCall(test.store, { ...prepared.lane, ...prepared.key, boot: prepared.boot });
    await prepared.lane.close('t1');
    expect(await settle(prepared, { try: 1, outcome: 'signalled' })).toMatchObject({
      isFirst: true,
      outcome: 'signalled',
    });
  });
});

describe('callsToStop', () => {
  const stopped = { outcome: 'interrupted', result: {}, shown: 'stopped' } as const;

  it('gives a command that a stop ended the word of whoever stops it, whoever brings the outcome', async () => {
    for (const as of ['cancelled', 'interrupted'] as const) {
      const prepared = await prepare(`stopped-${as}`);
      const { lane, key, boot } = prepared;
      await beginCall(test.store, { ...lane, ...key, boot });
      expect(await callsToStop(test.store, { ...lane, ...key, as })).toEqual([
        { step: 0, index: 0, cmdId: `${key.turnKey}-0-0`, tool: 'bash', submitted: boot },
      ]);
      expect(await settle(prepared, { try: 1, ...stopped })).toMatchObject({ outcome: as, isFirst: true });
      expect(await callsToStop(test.store, { ...lane, ...key, as })).toEqual([]);
    }
  });

  it('keeps the first word, and leaves an end of its own alone', async () => {
    const twice = await prepare('stopped-twice');
    await beginCall(test.store, { ...twice.lane, ...twice.key, boot: twice.boot });
    for (const as of ['cancelled', 'interrupted'] as const) {
      await callsToStop(test.store, { ...twice.lane, ...twice.key, as });
    }
    expect(await settle(twice, { try: null, ...stopped })).toMatchObject({ outcome: 'cancelled' });

    const own = await prepare('stopped-late');
    await beginCall(test.store, { ...own.lane, ...own.key, boot: own.boot });
    await callsToStop(test.store, { ...own.lane, ...own.key, as: 'cancelled' });
    expect(await settle(own, { try: 1 })).toMatchObject({ outcome: 'exited', exitCode: 3 });
  });

  it('is for the run that owns the lane', async () => {
    const { lane, key, boot } = await prepare('stopped-stale');
    await beginCall(test.store, { ...lane, ...key, boot });
    await openLane(test.store, 'stopped-stale', 'run-2').open();
    await expect(callsToStop(test.store, { ...lane, ...key, as: 'cancelled' })).rejects.toMatchObject({
      code: 'STALE_LANE',
    });
  });
});

describe('nextAttachment', () => {
  it('grows with every call and belongs to the lane’s owner', async () => {
    const { lane } = await prepare('attach');
    const numbers = await Promise.all([1, 2, 3].map(() => nextAttachment(test.store, lane)));
    expect(numbers.map((next) => next.attachment).toSorted()).toEqual([1, 2, 3]);
    expect(numbers[0]).toMatchObject({ userId: 'attach', machine: { machineId: 'm-attach-1' } });
    await openLane(test.store, 'attach', 'run-2').open();
    await expect(nextAttachment(test.store, lane)).rejects.toMatchObject({ code: 'STALE_LANE' });
  });

  it('is not given to a try that has a successor, nor to one whose command is being stopped', async () => {
    const { lane, key, boot } = await prepare('attach-try');
    await beginCall(test.store, { ...lane, ...key, boot });
    expect(await nextAttachment(test.store, lane, { ...key, try: 1 })).toMatchObject({ attachment: 1 });
    await beginCall(test.store, { ...lane, ...key, boot });
    await expect(nextAttachment(test.store, lane, { ...key, try: 1 })).rejects.toMatchObject({ code: 'STALE_TRY' });
    expect(await nextAttachment(test.store, lane, { ...key, try: 2 })).toMatchObject({ attachment: 2 });
    await callsToStop(test.store, { ...lane, ...key, as: 'cancelled' });
    await expect(nextAttachment(test.store, lane, { ...key, try: 2 })).rejects.toMatchObject({ code: 'STALE_TRY' });
    expect(await nextAttachment(test.store, lane)).toMatchObject({ attachment: 3 });
  });
});
