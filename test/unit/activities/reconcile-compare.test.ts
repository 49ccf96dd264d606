/**
 * Goal: what the reconciler takes for forgotten is forgotten, and a machine that a create may own is never condemned. Method: the pure
 * comparison on rows written out here, and a model of creates, lists and readings in any order (fast-check).
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  judgeUnknown,
  suspect,
  type CompareSettings,
  type Seen,
  type Sight,
} from '../../../src/activities/reconcile-compare.js';
import { LISTING_KINDS } from '../../../src/contracts/reconcile.js';
import type { UserRow } from '../../../src/store/reconcile.js';
import { LANE_PHASES } from '../../../src/contracts/lane-state.js';

const NOW = Date.UTC(2030, 0, 1);
const QUIET_MS = 1_000;
const at = (agoMs: number): Date => new Date(NOW - agoMs);
const SETTINGS: CompareSettings = { listedAt: at(10), quietMs: QUIET_MS, createTimeoutMs: 5_000, idleMs: 60_000 };
const RUNNING: Seen = { phase: 'running', isEnding: false };
const SLEEPING: Seen = { phase: 'sleeping', isEnding: false };

type Machine = NonNullable<UserRow['machine']>;
const machineIn = (phase: Machine['phase'], more: Partial<Machine> = {}): Machine => ({
  machineId: 'dm-1',
  generation: 1,
  phase,
  createdAt: at(3_600_000),
  isMetered: phase !== 'asleep',
  isLeased: false,
  ...more,
});
const turnIn = (state: 'queued' | 'running', cancelledAgoMs?: number): UserRow['turn'] => ({
  turnId: 't',
  state,
  cancelRequestedAt: cancelledAgoMs === undefined ? null : at(cancelledAgoMs),
});

function user(more: Partial<UserRow> = {}): UserRow {
  const row = { workflowId: 'user-machine/ada', state: 'active', idleMs: null, machine: null, turn: null } as const;
  return { ...row, now: at(0), lastEventAt: at(3_600_000), ...more };
}
const found = (row: UserRow, sight?: Sight): string[] =>
  suspect(row, sight, SETTINGS).map(({ kind, action }) => `${kind}: ${action}`);

describe('of the record', () => {
  it.each<[string, Partial<UserRow>, string[]]>([
    ['a user with nothing open', {}, []],
    ['a turn that waits', { turn: turnIn('queued') }, ['signal_lost: enqueueTurn']],
    ['a turn that waits since just now', { turn: turnIn('queued'), lastEventAt: at(900) }, []],
    ['a turn that runs in silence', { turn: turnIn('running') }, ['lane_not_running: enqueueTurn']],
    ['a turn that shows life', { turn: turnIn('running'), lastEventAt: at(900) }, []],
    ['a cancel long ago', { turn: turnIn('running', 1_001) }, ['cancel_lost: cancelTurn']],
    ['a cancel just now, in a turn that shows life', { turn: turnIn('running', 900), lastEventAt: at(900) }, []],
    ['a destruction that goes on', { state: 'destroying', lastEventAt: at(900) }, []],
    ['a destruction that does not', { state: 'destroying' }, ['destroy_unfinished: look']],
    [
      'a turn left open by a destruction',
      { state: 'destroying', turn: turnIn('queued') },
      ['destroy_unfinished: look'],
    ],
    ['a destroyed user', { state: 'destroyed' }, []],
  ])('%s', (_what, more, expected) => {
    expect(found(user(more))).toEqual(expected);
  });

  it('asks the lane before it says that a silent turn has none', () => {
    expect(suspect(user({ turn: turnIn('running') }), undefined, SETTINGS)).toMatchObject([{ unlessLane: 'running' }]);
  });
});

describe('of the machine', () => {
  it.each<[string, Machine, Sight, string[]]>([
    ['asleep as it should be', machineIn('asleep'), SLEEPING, []],
    ['missing', machineIn('asleep'), undefined, ['machine_gone: machineLost']],
    ['failed at the provider', machineIn('ready'), { phase: 'failed', isEnding: false }, ['machine_gone: machineLost']],
    ['being deleted', machineIn('ready'), { phase: 'running', isEnding: true }, ['machine_gone: machineLost']],
    ['missing and known to be lost', machineIn('failed'), undefined, []],
    ['missing from a list that could not be had', machineIn('ready'), 'unlisted', []],
    ['missing from a list older than it', machineIn('ready', { createdAt: at(5) }), undefined, []],
    ['missing from a list as old as it', machineIn('ready', { createdAt: at(10) }), undefined, []],
    [
      'without an id, on its way',
      machineIn('provisioning', { machineId: null, createdAt: at(5) }),
      undefined,
      ['creation_unfinished: wakeNow'],
    ],
    ['awake, by the ledger asleep', machineIn('asleep'), RUNNING, ['awake_without_reason: sleepNow']],
    ['awake, left to autosleep', machineIn('asleep', { isMetered: true }), RUNNING, ['awake_without_reason: report']],
    ['awake, by the ledger failed', machineIn('failed'), RUNNING, ['awake_without_reason: report']],
    ['awake past its idle time', machineIn('ready'), RUNNING, ['awake_without_reason: sleepNow']],
    ['awake past its idle time, and leased', machineIn('ready', { isLeased: true }), RUNNING, []],
    ['on its way to sleep', machineIn('asleep'), { phase: 'stopping', isEnding: false }, []],
  ])('%s', (_what, machine, sight, expected) => {
    expect(found(user({ machine }), sight)).toEqual(expected);
  });

  it('lets it be awake while idle time is not over, by default or by the user’s own', () => {
    const awake = { machine: machineIn('ready') };
    expect(found(user({ ...awake, lastEventAt: at(60_900) }), RUNNING)).toEqual([]);
    expect(found(user({ ...awake, lastEventAt: at(61_100) }), RUNNING)).toEqual(['awake_without_reason: sleepNow']);
    expect(found(user({ ...awake, lastEventAt: at(61_100), idleMs: 70_000 }), RUNNING)).toEqual([]);
  });

  it('never says anything of a machine with an open turn but that it is gone', () => {
    const phases = LANE_PHASES.filter((phase) => phase !== 'none');
    for (const phase of phases) {
      const row = user({ machine: machineIn(phase), turn: turnIn('running'), lastEventAt: at(0) });
      expect(found(row, RUNNING), phase).toEqual([]);
    }
  });

  it('says nothing that follows from the list where there is none', () => {
    const phases = LANE_PHASES.filter((phase) => phase !== 'none');
    for (const phase of phases) {
      const kinds = suspect(user({ machine: machineIn(phase) }), 'unlisted', SETTINGS).map(({ kind }) => kind);
      expect(kinds.filter((kind) => LISTING_KINDS.includes(kind))).toEqual([]);
    }
  });

  it('leaves what belongs to a user who is being destroyed to the destruction', () => {
    const row = user({ state: 'destroying', machine: machineIn('destroying') });
    expect(found(row, RUNNING)).toEqual(['destroy_unfinished: look']);
  });
});

describe('an unknown machine', () => {
  const GRACE_MS = 1_000;
  const dedicated = { isAccountDedicated: true, graceMs: GRACE_MS };
  const old = { firstSeenAt: at(5_000), now: at(0), destroysLeft: 1 };
  const ledger = { oldestFlightAt: null, isEmpty: false };

  it.each([
    ['nobody’s, long since', old, ledger, dedicated, { action: 'destroy', reason: null }],
    [
      'in a shared account',
      old,
      ledger,
      { ...dedicated, isAccountDedicated: false },
      { action: 'report', reason: 'account_is_shared' },
    ],
    [
      'beside an empty ledger',
      old,
      { ...ledger, isEmpty: true },
      dedicated,
      { action: 'report', reason: 'ledger_is_empty' },
    ],
    ['seen just now', { ...old, firstSeenAt: at(999) }, ledger, dedicated, { action: 'wait', reason: 'grace_period' }],
    ['one too many', { ...old, destroysLeft: 0 }, ledger, dedicated, { action: 'wait', reason: 'limit_reached' }],
    [
      'with an older create in flight',
      old,
      { ...ledger, oldestFlightAt: at(5_001) },
      dedicated,
      { action: 'wait', reason: 'create_in_flight' },
    ],
    [
      'with a create of the same instant',
      old,
      { ...ledger, oldestFlightAt: at(5_000) },
      dedicated,
      { action: 'wait', reason: 'create_in_flight' },
    ],
    [
      'with a younger create in flight',
      old,
      { ...ledger, oldestFlightAt: at(4_999) },
      dedicated,
      { action: 'destroy', reason: null },
    ],
  ] as const)('%s', (_what, machine, view, settings, expected) => {
    expect(judgeUnknown(machine, view, settings)).toEqual(expected);
  });

  /**
   * Users create machines in steps that any amount of time may lie between: row stored, machine made at the provider, its id stored.
   * Some stop for ever after one of them, and some machines come from nowhere. A reconcile lists, then reads the ledger, then judges.
   */
  it('that a create owns is never condemned, however the steps of creates and reconciles fall', () => {
    const step = fc.record({
      who: fc.integer({ min: 0, max: 4 }),
      what: fc.constantFrom('create', 'stray', 'list', 'judge'),
      tookMs: fc.integer({ min: 0, max: 1_500 }),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 120 }), (steps) => {
        const world = new World(GRACE_MS);
        for (const { who, what, tookMs } of steps) {
          world.nowMs += tookMs;
          if (what === 'create') world.create(who);
          else if (what === 'stray') world.stray();
          else if (what === 'list') world.list();
          else world.judge();
        }
        for (const id of world.condemned) expect(world.owned.has(id), `machine ${id} had an owner`).toBe(false);
        // Once nothing is in flight, what is nobody's is condemned in the end.
        for (let user = 0; user < 5; user += 1) world.finish(user);
        for (let rounds = 0; rounds < 3; rounds += 1) {
          world.nowMs += GRACE_MS + 1;
          world.list();
          world.judge();
        }
        expect(world.unknown()).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});

/** Ledger and provider, as far as creates go. */
class World {
  nowMs = NOW;
  readonly condemned = new Set<number>();
  /** Machines that a create made, whoever knows of it. */
  readonly owned = new Set<number>();
  #machines = new Set<number>();
  #known = new Set<number>();
  /** By user: when the row was stored, and the machine that the provider made for it. */
  #flights = new Map<number, { at: Date; made: number | undefined }>();
  #firstSeen = new Map<number, Date>();
  #listed: readonly number[] = [];
  #ids = 0;

  constructor(readonly graceMs: number) {}

  #make(): number {
    this.#ids += 1;
    this.#machines.add(this.#ids);
    return this.#ids;
  }

  stray(): void {
    this.#make();
  }

  /** The next step of the user's create. */
  create(user: number): void {
    const flight = this.#flights.get(user);
    if (flight === undefined) {
      this.#flights.set(user, { at: new Date(this.nowMs), made: undefined });
    } else if (flight.made === undefined) {
      flight.made = this.#make();
      this.owned.add(flight.made);
    } else {
      this.#known.add(flight.made);
      this.#flights.delete(user);
    }
  }

  finish(user: number): void {
    while (this.#flights.has(user)) this.create(user);
  }

  list(): void {
    this.#listed = [...this.#machines];
  }

  unknown(): number[] {
    return [...this.#machines].filter((id) => !this.#known.has(id));
  }

  /** Reads the ledger, which is later than the list, and acts by it. */
  judge(): void {
    const now = new Date(this.nowMs);
    const begun = [...this.#flights.values()].map(({ at: begunAt }) => begunAt.getTime());
    const oldestFlightAt = begun.length === 0 ? null : new Date(Math.min(...begun));
    for (const id of this.#listed.filter((listed) => this.#machines.has(listed) && !this.#known.has(listed))) {
      const firstSeenAt = this.#firstSeen.get(id) ?? now;
      this.#firstSeen.set(id, firstSeenAt);
      const settings = { isAccountDedicated: true, graceMs: this.graceMs };
      const { action } = judgeUnknown(
        { firstSeenAt, now, destroysLeft: 1 },
        { oldestFlightAt, isEmpty: false },
        settings,
      );
      if (action !== 'destroy') continue;
      this.condemned.add(id);
      this.#machines.delete(id);
    }
  }
}
