/** A plan of the fault suite follows from its seed alone, and strikes with every kind of fault. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { describePlan } from '../../chaos/plan/describe.js';
import { FAULT_KINDS, FAULTS, parseKinds } from '../../chaos/plan/kinds.js';
import { makePlan, type Plan } from '../../chaos/plan/plan.js';
import { WORKER_POINTS } from '../../chaos/plan/worker-points.js';

const options = fc.record({
  seed: fc.string({ minLength: 1, maxLength: 12 }),
  turns: fc.integer({ min: 120, max: 500 }),
  faults: fc.integer({ min: 150, max: 900 }),
  users: fc.integer({ min: 2, max: 20 }),
});
const plan = options.map((chosen) => makePlan({ ...chosen, kinds: FAULT_KINDS }));
const turnsOf = (of: Plan) => of.people.flatMap((user) => user.turns);
const faultsOf = (of: Plan) => [...of.serverFaults, ...of.workerPoints, ...turnsOf(of).flatMap((turn) => turn.faults)];

describe('a plan', () => {
  it('is the same for the same seed, and another one for another', () => {
    fc.assert(
      fc.property(options, (chosen) => {
        const one = makePlan({ ...chosen, kinds: FAULT_KINDS });
        expect(makePlan({ ...chosen, kinds: FAULT_KINDS })).toEqual(one);
        const other = makePlan({ ...chosen, seed: `${chosen.seed}'`, kinds: FAULT_KINDS });
        expect(describePlan(other).slice(1)).not.toEqual(describePlan(one).slice(1));
      }),
      { numRuns: 30 },
    );
  });

  it('holds every kind of fault, and about as many faults and turns as were asked for', () => {
    fc.assert(
      fc.property(plan, (made) => {
        const kinds = new Set(faultsOf(made).map(({ kind }) => kind));
        expect(FAULT_KINDS.filter((kind) => !kinds.has(kind))).toEqual([]);
        expect(turnsOf(made).length).toBeGreaterThanOrEqual(made.turns);
        expect(faultsOf(made).length).toBeGreaterThan(0.6 * Math.min(made.faults, 2 * made.turns));
      }),
      { numRuns: 30 },
    );
  });

  it('gives each turn, command and fault a name of its own', () => {
    fc.assert(
      fc.property(plan, (made) => {
        for (const names of [
          turnsOf(made).map(({ turnId }) => turnId),
          turnsOf(made).flatMap(({ commands }) => commands.map(({ id }) => id)),
          faultsOf(made).map(({ id }) => id),
        ]) {
          expect(new Set(names).size).toBe(names.length);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('strikes a turn only with what it can meet', () => {
    fc.assert(
      fc.property(plan, (made) => {
        for (const turn of turnsOf(made)) {
          expect(turn.faults.filter(({ kind }) => FAULTS[kind].isMajor).length).toBeLessThanOrEqual(1);
          if (turn.faults.some(({ kind }) => FAULTS[kind].moment === 'sleep')) expect(turn.sleepsBefore).toBe(true);
        }
        for (const user of made.people) {
          expect(new Set(user.turns[0]?.faults.map(({ kind }) => kind))).toEqual(
            new Set(user.turns[0]?.faults.length === 0 ? [] : ['create-unanswered']),
          );
        }
      }),
      { numRuns: 30 },
    );
  });

  it('arms workers with every point before any comes again, and with none more than five times', () => {
    const made = makePlan({ seed: '1', turns: 300, faults: 600, users: 10, kinds: ['worker-killed'] });
    expect(made.workerPoints).toHaveLength(5 * WORKER_POINTS.length);
    const first = made.workerPoints.slice(0, WORKER_POINTS.length).map((fault) => fault.aim.point);
    expect(first.toSorted()).toEqual([...WORKER_POINTS].toSorted());
  });
});

describe('a list of kinds', () => {
  it('takes whole names and beginnings, and refuses others', () => {
    expect(parseKinds('terminal-drop,lane')).toEqual([
      'lane-terminated',
      'lane-cancelled',
      'lane-reset',
      'terminal-drop',
    ]);
    expect(() => parseKinds('earthquake')).toThrow('There is no kind of fault "earthquake"');
  });
});
