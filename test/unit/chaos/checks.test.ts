/** The checks of the fault suite see what breaks a promise, in records that are made up for it. */
import { describe, expect, it } from 'vitest';
import type { LedgerEntry } from '../../../src/story/record/provider-record.js';
import { isKept } from '../../chaos/checks/check.js';
import { checkOneAtATime, checkResults, checkRunsOnce, checkUnknown } from '../../chaos/checks/commands.js';
import type { CallRow, Evidence, Home } from '../../chaos/checks/evidence.js';
import { checkNoLeak, checkOneMachine, checkRevisions } from '../../chaos/checks/machines.js';
import { checkProjections } from '../../chaos/checks/projections.js';
import { checkTurns } from '../../chaos/checks/turns.js';
import type { Strike } from '../../chaos/journal.js';
import { expectAll } from '../../chaos/plan/expectation.js';
import { makePlan } from '../../chaos/plan/plan.js';
import { checkRecovery, measureRecovery } from '../../chaos/report/recovery.js';

const plan = makePlan({ seed: 'checks', turns: 1, faults: 1, users: 1, kinds: ['temporal-killed'] });
const expected = expectAll(plan);
const turnId = [...expected.keys()][0] ?? '';
const commandId = expected.get(turnId)?.commands[0]?.id ?? '';

const turn = {
  ...{ userId: 'user-0', turnId, state: 'completed', errorCode: null, position: 1 },
  ...{ startedAtMs: 100, endedAtMs: 900, ends: 1, resumes: 0, messages: 1, repeats: 0, modelRepeats: 0 },
  ...{ answer: 'Done.', said: 'I look.\n\nDone.' },
};
const call: CallRow = {
  ...{
    userId: 'user-0',
    turnId,
    cmdId: '1-0-0',
    step: 0,
    index: 0,
    argumentsJson: `echo \\"${commandId} $EPOCHREALTIME`,
  },
  ...{ outcome: 'exited', reason: null, exitCode: 0, outputHash: 'h', submittedAtMs: 200, settledAtMs: 800 },
};
const command = {
  cmdId: '1-0-0',
  starts: 1,
  startedAtMs: 210,
  endedAtMs: 790,
  exitCode: 0,
  outputHash: 'h',
  bootId: 'b',
};
const home = (more: Partial<Home> = {}): Home => ({
  ...{ userId: 'user-0', machineId: 'dm-1', path: '/home', journal: [command], effects: [`${commandId} 1.1`] },
  ...more,
});

function evidence(more: Partial<Evidence> = {}): Evidence {
  const journal = {
    acknowledged: [...expected.keys()].map((id) => ({ userId: 'user-0', turnId: id, atMs: 0 })),
    ...{ strikes: [], missed: [], complaints: [], remarks: [] },
    acknowledge: () => undefined,
    struck: () => undefined,
    miss: () => undefined,
    complain: () => undefined,
    remark: () => undefined,
  };
  const turns = [...expected.keys()].map((id) => ({ ...turn, turnId: id }));
  const known = { plan, expected, journal, turns, calls: [call], homes: [home()], readers: [], events: [] };
  return { ...known, machines: [], ledger: [], provider: [], findings: [], ...more };
}

let seq = 0;
const entry = (kind: string, more: object) => ({
  seq: (seq += 1),
  at: '',
  wallAt: '',
  kind,
  machineId: 'dm-1',
  ...more,
});

describe('the checks', () => {
  it('keep what is well', () => {
    for (const check of [checkTurns, checkRunsOnce, checkUnknown, checkOneAtATime]) {
      expect(isKept(check(evidence())), check(evidence()).violations.join('; ')).toBe(true);
    }
  });

  it('see a turn that is lost, doubled or open', () => {
    expect(checkTurns(evidence({ turns: [] })).violations).toContain(`${turnId} was acknowledged and is lost`);
    const twice = evidence({ turns: [{ ...turn, ends: 2 }] });
    expect(checkTurns(twice).violations).toContain(`${turnId} ended 2 times`);
    const elsewhere = evidence({ turns: [turn, { ...turn, userId: 'user-1' }] });
    expect(checkTurns(elsewhere).violations).toContain(`${turnId} was never submitted for user-1`);
    const open = evidence({ turns: [{ ...turn, state: 'running' }] });
    expect(checkTurns(open).violations).toContain(`${turnId} is running for ever`);
  });

  it('see a second run of a command, also in a home that was lost, and count a copied line once', () => {
    const rolledBack = evidence({ homes: [home(), home({ effects: [`${commandId} 1.1`] })] });
    expect(checkRunsOnce(rolledBack).violations).toEqual([]);
    const again = evidence({ homes: [home(), home({ effects: [`${commandId} 2.2`] })] });
    expect(checkRunsOnce(again).violations).toEqual([`${commandId} ran 2 times`]);
  });

  it('see a second start in a journal', () => {
    const journal = [{ ...command, starts: 2 }];
    expect(checkRunsOnce(evidence({ homes: [home({ journal })] })).violations).toEqual(['1-0-0 was started 2 times']);
  });

  it('see a result that is not what the guest recorded, or not what the command prints', () => {
    const { exitCode = 0, outputHash = '' } = expected.get(turnId)?.commands[0] ?? {};
    const results = (reported: object, recorded: object) =>
      checkResults(
        evidence({
          calls: [{ ...call, exitCode, outputHash, ...reported }],
          homes: [home({ journal: [{ ...command, exitCode, outputHash, ...recorded }] })],
        }),
      ).violations;
    expect(results({}, {})).toEqual([]);
    expect(results({ exitCode: exitCode + 1 }, {})).not.toEqual([]);
    expect(results({}, { outputHash: 'other' })).not.toEqual([]);
    const both = { outputHash: 'of another output' };
    expect(results(both, both)).toHaveLength(1);
  });

  it('see an unknown outcome that nothing explains', () => {
    const calls = [{ ...call, outcome: 'unknown', reason: 'runner_died' }];
    expect(checkUnknown(evidence({ calls })).violations).toHaveLength(1);
    const killed = [{ ...call, outcome: 'signalled', exitCode: null }];
    expect(checkUnknown(evidence({ calls: killed })).violations).toHaveLength(1);
    const strike: Strike = {
      fault: { id: 'f1', kind: 'guest-killed', aim: {} },
      ...{ userId: 'user-0', turnId, atMs: 500, untilMs: 500, isEffective: true },
    };
    const { journal } = evidence();
    expect(checkUnknown(evidence({ calls, journal: { ...journal, strikes: [strike] } })).violations).toEqual([]);
    const machines = [{ userId: 'user-0', machineId: 'dm-1', phase: 'ready' }];
    const boot = (machineId: string, cause: string) =>
      entry('machine.boot', { machineId, cause, wallAt: new Date(600).toISOString() });
    const booted = (ledger: LedgerEntry[]) => checkUnknown(evidence({ calls, machines, ledger })).violations;
    expect(booted([boot('dm-1', 'host restarted')])).toEqual([]);
    expect(booted([boot('dm-1', 'wake'), boot('dm-2', 'host restarted')])).toHaveLength(1);
  });

  it('see two commands at once', () => {
    const journal = [command, { ...command, cmdId: '1-0-1', startedAtMs: 700 }];
    expect(checkOneAtATime(evidence({ homes: [home({ journal })] })).violations).toHaveLength(1);
  });

  it('see a second live machine, a leak, and a stale write', () => {
    const machines = ['dm-1', 'dm-2'].map((machineId) => ({ userId: 'user-0', machineId, phase: 'asleep' }));
    const created = ['dm-1', 'dm-2'].map((machineId) => entry('machine.created', { machineId, revision: 1 }));
    expect(checkOneMachine(evidence({ machines, ledger: created })).violations).toHaveLength(1);
    const truth = {
      machineId: 'dm-9',
      phase: 'running',
      homePath: '',
      lostHomes: [],
      initPid: null,
      hasSnapshot: false,
    };
    expect(checkNoLeak(evidence({ provider: [truth] })).violations).toHaveLength(1);
    const destroyed = { ledger: [entry('machine.created', {})], provider: [{ ...truth, phase: 'destroyed' }] };
    expect(checkNoLeak(evidence({ ...destroyed, machines: [] })).violations).toHaveLength(1);
    const desired = (revision: number) =>
      entry('machine.desired', { revision, cause: 'api', desiredState: 'sleeping' });
    const sleep = (ifMatch: string) => entry('api', { route: 'machines.sleep', status: 202, ifMatch });
    expect(checkRevisions(evidence({ ledger: [desired(2), sleep('"1"')] })).violations).toEqual([]);
    expect(checkRevisions(evidence({ ledger: [desired(5), sleep('"1"')] })).violations).toHaveLength(1);
    expect(
      checkRevisions(evidence({ ledger: [desired(5), desired(4), sleep('"4"'), sleep('"3"')] })).violations,
    ).toHaveLength(1);
    // The call at 1 is answered late: the one at 2 found it done and changed nothing.
    expect(checkRevisions(evidence({ ledger: [desired(2), sleep('"2"'), sleep('"1"')] })).violations).toEqual([]);
  });

  it('see a client that was told another end, another outcome or another text', () => {
    const heard = {
      ...{ userId: 'user-0', turnId, protocol: 'responses', keepsVoid: false, state: 'completed', text: turn.said },
      ...{ pieces: turn.said, ends: new Map([['0/0', 'exited 0']]) },
    };
    const heardCall = { userId: 'user-0', turnId, state: 'completed', outcome: 'exited', exitCode: 0 };
    const found = (
      more: Partial<typeof heard>,
      row: Partial<typeof turn> = {},
      byMcp: Partial<typeof heardCall> = {},
    ) =>
      checkProjections(evidence({ turns: [{ ...turn, ...row }] }), { heard: [{ ...heard, ...more }], faults: [] }, [
        { ...heardCall, ...byMcp },
      ]).violations.length;
    expect(found({})).toBe(0);
    expect(found({ state: 'cancelled' })).toBe(1);
    expect(found({ ends: new Map() })).toBe(1);
    expect(found({ ends: new Map([['0/0', 'exited 7']]) })).toBe(1);
    expect(found({ text: 'Done.', pieces: 'Done.' })).toBe(1);
    expect(found({ pieces: 'Done.Done.' })).toBe(1);
    expect(found({ pieces: 'Done.Done.' }, { modelRepeats: 1 })).toBe(0);
    const { pieces: _pieces, ...whole } = heard;
    const anew = { ...whole, protocol: 'chat completions', keepsVoid: true, text: 'I lo … I look.\n\nDone.' };
    const asked = evidence({ turns: [{ ...turn, modelRepeats: 1 }] });
    expect(checkProjections(asked, { heard: [anew], faults: [] }, []).violations).toEqual([]);
    expect(found({}, {}, { exitCode: 1 })).toBe(1);
    expect(checkProjections(evidence(), { heard: [], faults: ['a refusal'] }, []).violations).toEqual(['a refusal']);
  });

  it('measure how long a user in mid turn waits, and leave out what was struck twice', () => {
    const strike = (id: string, atMs: number): Strike => ({
      fault: { id, kind: 'temporal-killed', aim: {} },
      ...{ userId: undefined, turnId: undefined, atMs, untilMs: atMs, isEffective: true },
    });
    const of = evidence({ turns: [turn], events: [{ userId: 'user-0', atMs: 640 }] });
    expect(measureRecovery(of, [strike('f1', 500)])).toMatchObject([{ samples: 1, p50Ms: 140, maxMs: 140 }]);
    expect(measureRecovery(of, [strike('f1', 500), strike('f2', 550)])).toEqual([]);
  });

  it('take a recovery whose p99 is above its target for broken', () => {
    const of = (p99Ms: number) =>
      checkRecovery([{ kind: 'temporal-killed', samples: 4, p50Ms: 1, p99Ms, maxMs: p99Ms }]).violations.length;
    expect([of(20_000), of(20_001)]).toEqual([0, 1]);
  });
});
