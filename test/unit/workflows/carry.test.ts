/** What survives continue-as-new: every field comes back through JSON, and anything that is no carry is none. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isErrorCode } from '../../../src/contracts/errors.js';
import { LANE_PHASES } from '../../../src/contracts/lane-state.js';
import { carryOf, CARRY_SCHEMA, dataOf, parseCarry, type Carry } from '../../../src/workflows/carry.js';
import { newLaneData, type LaneData } from '../../../src/workflows/lane-data.js';
import { hostileRecord } from '../../support/hostile.js';
import { runs } from '../../support/properties.js';

/** Every field set, each to something that is not its default. */
const FULL: Required<LaneData> = {
  phase: 'asleep',
  generation: 3,
  machineId: 'machine-3',
  turnCount: 41,
  lastTurnAtMs: 1_700_000_000_123,
  lastActivityAtMs: 1_700_000_000_456,
  lastErrorCode: 'MACHINE_LOST',
  idleMs: 1_234,
  stepsMax: 7,
  wallMs: 60_000,
};

const overTheWire = (carry: Carry): unknown => JSON.parse(JSON.stringify(carry));

describe('a carry', () => {
  it('comes back with every field', () => {
    const carry = carryOf(FULL, { mustLook: true, sleepRequested: true });
    const parsed = parseCarry(overTheWire(carry));
    expect(parsed).toEqual(carry);
    expect(parsed && dataOf(parsed)).toEqual(FULL);
  });

  it('comes back from a lane that has only begun', () => {
    const data = newLaneData(1_700_000_000_000);
    const parsed = parseCarry(overTheWire(carryOf(data, { mustLook: false, sleepRequested: false })));
    expect(parsed && dataOf(parsed)).toEqual(data);
    // A field that is missing from FULL would not be tried by the test above.
    expect(Object.keys(data).sort()).toEqual(Object.keys(FULL).sort());
  });

  it('stays small, whatever is added to it from outside', () => {
    const carry = { ...carryOf(FULL, { mustLook: true, sleepRequested: false }), more: 'x'.repeat(1_000) };
    const parsed = parseCarry(carry);
    expect(parsed && dataOf(parsed)).toEqual(FULL);
    expect(JSON.stringify(carryOf(FULL, carry)).length).toBeLessThan(400);
  });

  it.each(Object.keys(FULL))('without %s, or with another type in it, is none', (field) => {
    const carry: Record<string, unknown> = { ...carryOf(FULL, { mustLook: true, sleepRequested: false }) };
    for (const wrong of [undefined, [], {}, -1, 'nonsense-phase', true, Number.NaN]) {
      const isRight =
        (field === 'machineId' && typeof wrong === 'string') || (field === 'wallMs' && wrong === undefined);
      if (!isRight) expect(parseCarry({ ...carry, [field]: wrong }), String(wrong)).toBeUndefined();
    }
    const { [field]: _left, ...rest } = carry;
    if (field !== 'wallMs') expect(parseCarry(rest)).toBeUndefined();
  });

  it('of a release that did not know the wall time is one, and says that it is not known', () => {
    const { wallMs: _unknown, ...older } = carryOf(FULL, { mustLook: true, sleepRequested: false });
    const parsed = parseCarry(overTheWire(older as Carry));
    expect(parsed && dataOf(parsed)).toEqual({ ...FULL, wallMs: null });
  });

  it('of another schema is none', () => {
    const carry = carryOf(FULL, { mustLook: true, sleepRequested: false });
    expect(parseCarry({ ...carry, schema: CARRY_SCHEMA + 1 })).toBeUndefined();
    expect(parseCarry({ ...carry, schema: String(CARRY_SCHEMA) })).toBeUndefined();
  });

  it('is not read out of anything else', () => {
    fc.assert(fc.property(fc.anything(), (value) => parseCarry(value) === undefined));
  });

  it('with anything in its fields is none, or one whose data a lane can carry on', () => {
    const carry = { ...carryOf(FULL, { mustLook: true, sleepRequested: false }) };
    const shape = Object.fromEntries(Object.entries(carry).map(([field, value]) => [field, fc.constant(value)]));
    fc.assert(
      fc.property(hostileRecord(shape), hostileRecord(shape), (some, changes) => {
        for (const sent of [some, { ...carry, ...changes }]) {
          const parsed = parseCarry(JSON.parse(JSON.stringify(sent)));
          if (parsed === undefined) continue;
          const data = dataOf(parsed);
          expect(LANE_PHASES).toContain(data.phase);
          expect(data.lastErrorCode === null || isErrorCode(data.lastErrorCode)).toBe(true);
          for (const count of [data.generation, data.turnCount, data.lastActivityAtMs, data.idleMs, data.stepsMax]) {
            expect(Number.isSafeInteger(count) && count >= 0).toBe(true);
          }
          expect(parseCarry(overTheWire(carryOf(data, parsed)))).toEqual(carryOf(data, parsed));
        }
      }),
      runs(2_000),
    );
  });
});
