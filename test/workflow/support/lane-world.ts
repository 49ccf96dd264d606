/**
 * One lane on the real server, what may be asked of it and befall it, and beside it the reference model: which turns there are, what
 * was asked for, and which ends that allows. After any steps the lane is brought to rest and its record compared with the model.
 */
import { expect } from 'vitest';
import { isErrorCode, type ErrorCode } from '../../../src/contracts/errors.js';
import type { LanePhase } from '../../../src/contracts/lane-state.js';
import { waitFor } from '../../support/wait-for.js';
import { count, failedTasks, nameOf, readHistory } from './history.js';
import type { LaneHarness, TestLane } from './lane-harness.js';
import { checkOrder, checkSleep, checkTurns, type Asked } from './lane-claims.js';
import type { ActivityName, Gate, LaneRecord, LaneSettings } from './lane-record.js';

interface Failure {
  readonly name: ActivityName;
  readonly code: ErrorCode;
  /** Temporal repeats the activity. */
  readonly isRetryable?: true;
  /** The code that a turn may end with for it; undefined: the lane tries again. */
  readonly endsAs?: ErrorCode;
}

/** What activities may be made to fail with. */
export const FAILURES: readonly Failure[] = [
  { name: 'think', code: 'MODEL_UNAVAILABLE', isRetryable: true },
  { name: 'think', code: 'MODEL_REJECTED', endsAs: 'MODEL_REJECTED' },
  { name: 'act', code: 'GUEST_UNREACHABLE', isRetryable: true },
  { name: 'act', code: 'GUEST_CONFLICT', endsAs: 'GUEST_CONFLICT' },
  { name: 'openNextTurn', code: 'STORE_UNAVAILABLE' },
  { name: 'closeTurn', code: 'STORE_UNAVAILABLE', isRetryable: true },
  { name: 'admitPrompt', code: 'INTERNAL' },
  { name: 'recordCancel', code: 'INTERNAL' },
  { name: 'recordRejection', code: 'INTERNAL' },
  { name: 'provisionMachine', code: 'PROVIDER_UNAVAILABLE', endsAs: 'MACHINE_UNAVAILABLE' },
  { name: 'bootstrapMachine', code: 'GUEST_UNREACHABLE', isRetryable: true },
  { name: 'wakeMachine', code: 'PROVIDER_UNAVAILABLE', endsAs: 'MACHINE_UNAVAILABLE' },
  { name: 'sleepMachine', code: 'PROVIDER_UNAVAILABLE', endsAs: 'MACHINE_UNAVAILABLE' },
  { name: 'stopCommand', code: 'GUEST_UNREACHABLE', isRetryable: true },
];
export const HELD: readonly ActivityName[] = ['think', 'act', 'provisionMachine', 'wakeMachine', 'sleepMachine'];
export type Step =
  | { readonly kind: 'submit' | 'submit unheard'; readonly plan: readonly (readonly string[])[] }
  /** `target` picks among the turns there are. */
  | { readonly kind: 'again' | 'announce' | 'cancel' | 'cancel by signal' | 'reuse'; readonly target: number }
  | { readonly kind: 'fail' | 'hold'; readonly target: number }
  | {
      readonly kind:
        | 'inline'
        | 'sleepNow'
        | 'wakeNow'
        | 'machineLost'
        | 'machine gone'
        | 'fell asleep'
        | 'boot lost'
        | 'nonsense'
        | 'release'
        | 'rest'
        | 'terminate'
        | 'destroy'
        | 'create again';
    };

export class LaneWorld {
  readonly #harness: LaneHarness;
  readonly #lane: TestLane;
  readonly #record: LaneRecord;
  readonly #gates: Gate[] = [];
  /** Turns that are known by their ids, whether or not they were admitted yet. */
  readonly #turnIds: string[] = [];
  /** Prompts that came by signal alone, and whose fate is not known: admitted, refused, or lost with a lane that was terminated. */
  readonly #inline = new Set<string>();
  readonly #asked: Asked = { cancelled: new Set(), mayFailAs: new Set(), wasDestroyed: false };
  #mustBeRefused = 0;
  #hasLostMail = false;

  private constructor(harness: LaneHarness, lane: TestLane) {
    this.#harness = harness;
    this.#lane = lane;
    this.#record = lane.record;
  }

  static async start(harness: LaneHarness, settings: LaneSettings): Promise<LaneWorld> {
    const lane = harness.newLane(settings);
    await lane.start();
    return new LaneWorld(harness, lane);
  }

  async take(step: Step): Promise<void> {
    const record = this.#record;
    switch (step.kind) {
      case 'submit': {
        if (record.userState !== 'active') return; // The client refuses it.
        const turnId = this.#newTurnId();
        return void (await this.#lane.submit(turnId, step.plan));
      }
      case 'submit unheard': {
        // Its signal is lost: the next one heals it.
        if (record.userState === 'active') record.admit(this.#newTurnId(), step.plan);
        return;
      }
      case 'inline': {
        if (record.userState !== 'active') return;
        const turnId = this.#newTurnId();
        this.#inline.add(turnId);
        return this.#send('enqueueTurn', { turnId, prompt: `prompt of ${turnId}` });
      }
      case 'again':
        return this.#ofTurn(step.target, (turnId) => this.#send('enqueueTurn', { turnId }));
      case 'announce':
        // Late, or once more, or before those ahead of it.
        return this.#ofTurn(step.target, async (turnId) => {
          const { turnKey, position } = record.find(turnId) ?? {};
          await this.#send('enqueueTurn', {
            turnId,
            ...(turnKey === undefined ? {} : { admitted: { turnKey, position } }),
          });
        });
      case 'reuse':
        return this.#ofTurn(step.target, async (turnId) => {
          const isKnown = record.find(turnId) !== undefined;
          if (isKnown && record.userState === 'active') this.#mustBeRefused += 1;
          else this.#inline.add(turnId);
          await this.#send('enqueueTurn', { turnId, prompt: 'another prompt' });
        });
      case 'cancel':
        return this.#ofTurn(step.target, async (turnId) => {
          if (!record.requestCancel(turnId)) return;
          this.#asked.cancelled.add(turnId);
          await this.#send('cancelTurn', { turnId });
        });
      case 'cancel by signal':
        return this.#ofTurn(step.target, async (turnId) => {
          this.#asked.cancelled.add(turnId);
          await this.#send('cancelTurn', { turnId });
        });
      case 'fail': {
        const { name, code, isRetryable = false, endsAs } = FAILURES[step.target % FAILURES.length]!;
        if (endsAs !== undefined) this.#asked.mayFailAs.add(endsAs);
        return record.fail(name, code, { isRetryable });
      }
      case 'hold':
        return void this.#gates.push(record.hold(HELD[step.target % HELD.length]!));
      case 'release':
        return this.#release();
      case 'sleepNow':
      case 'wakeNow':
        return this.#send(step.kind);
      case 'machineLost':
        if (record.generation === 0) return;
        record.isMachineGone = true;
        return this.#send('machineLost', { generation: record.generation });
      case 'machine gone':
        record.isMachineGone ||= record.phase === 'ready' || record.phase === 'asleep';
        return;
      case 'fell asleep':
        record.isAsleepByItself ||= record.phase === 'ready';
        return;
      case 'boot lost':
        record.isBootstrapLost = true;
        return;
      case 'nonsense':
        this.#mustBeRefused += 1;
        return this.#send('enqueueTurn', 7);
      case 'rest':
        return this.#rest();
      case 'terminate':
        await this.#lane.handle.terminate().catch(() => undefined); // It may have ended by itself.
        this.#hasLostMail = true;
        return;
      case 'destroy':
        if (record.userState !== 'active') return;
        this.#asked.wasDestroyed = true;
        record.userState = 'destroying';
        return this.#send('destroy');
      case 'create again':
        if (record.userState === 'destroyed') record.createAgain();
    }
  }

  /**
   * Lets everything come to its end and compares it with the model. The lane is asked nothing while it works: the record says when it
   * is over.
   */
  async check(): Promise<void> {
    await this.#rest();
    checkTurns(this.#record, this.#asked);
    checkOrder(this.#record);
    checkSleep(this.#record);
    if (this.#record.userState === 'active') await this.#checkRestOfMachine();
    await this.#checkMail();
    for (const runId of await this.#lane.allRuns()) {
      expect(failedTasks(await this.#lane.events(runId)), 'failed workflow tasks').toEqual([]);
    }
  }

  /** So that nothing waits for ever. */
  abandon(): void {
    this.#release();
  }

  async #rest(): Promise<void> {
    this.#release();
    const { userState } = this.#record;
    // The reconciler's part: a turn whose signal or whose lane was lost is told of again.
    if (userState === 'active') await this.#send('enqueueTurn', { turnId: this.#turnIds[0] ?? 'none' });
    else await this.#send('destroy');
    const seen = (): string =>
      JSON.stringify([this.#record.userState, this.#record.phase, this.#record.effects().slice(-8)]);
    await waitFor(`rest: ${seen()}`, async () => {
      const { openTurns, executions } = this.#record;
      if (openTurns.length > 0 || executions.some(({ isOver }) => !isOver)) return false;
      if (this.#record.userState !== 'active') {
        return (
          this.#record.userState === 'destroyed' && (await this.#lane.handle.describe()).status.name === 'COMPLETED'
        );
      }
      return [...this.#inline].every((turnId) => this.#hasLostMail || this.#isKnown(turnId));
    });
    if (this.#record.userState !== 'active') return;
    await this.#lane.settles();
    expect((await this.#lane.state()).turn, 'the turn of a lane at rest').toBeNull();
  }

  #isKnown(turnId: string): boolean {
    return this.#record.find(turnId) !== undefined || this.#asked.wasDestroyed;
  }

  /** Put to sleep, the lane goes on in a fresh run, and has no timer. */
  async #checkRestOfMachine(): Promise<void> {
    const { client } = this.#harness;
    await this.#send('sleepNow');
    // A creation that failed is left as it stands: the next turn goes on with it.
    const resting: LanePhase[] = ['none', 'asleep', 'failed', ...this.#isCreationBroken()];
    await this.#lane.settles();
    await waitFor(`a machine at rest: ${this.#record.phase}`, () => {
      const { phase, executions, isAsleepByItself } = this.#record;
      return (isAsleepByItself || resting.includes(phase)) && executions.every(({ isOver }) => isOver);
    });
    await this.#lane.settles();
    const { phase } = await this.#lane.state();
    expect(resting).toContain(phase);
    const isKnownBetter = phase === 'provisioning' || this.#record.isAsleepByItself;
    if (!isKnownBetter) expect(phase).toBe(this.#record.phase);
    await waitFor('no timer', async () => {
      const events = await this.#lane.events();
      return count(events, 'timerStarted') === count(events, 'timerFired') + count(events, 'timerCanceled');
    });
    const last = this.#record.executions.findLast(({ name }) => name === 'sleepMachine' || name === 'wakeMachine');
    if (phase !== 'asleep' || last?.name !== 'sleepMachine') return;
    await waitFor('a fresh run of the sleeper', async () => {
      const ended = (await readHistory(client, this.#lane.workflowId, last.runId)).at(-1);
      return ended !== undefined && nameOf(ended) === 'workflowExecutionContinuedAsNew';
    });
  }

  /** What could not be taken is on record, and nothing else is. */
  async #checkMail(): Promise<void> {
    const { rejections } = this.#record;
    if (!this.#hasLostMail && !this.#asked.wasDestroyed) {
      await waitFor('the refusals', () => rejections.length >= this.#mustBeRefused);
      for (const turnId of this.#inline) {
        expect(this.#record.find(turnId), `prompt ${turnId}`).toBeDefined();
      }
    }
    for (const { code, signal } of rejections) expect([isErrorCode(code), signal]).toEqual([true, expect.any(String)]);
  }

  #isCreationBroken(): LanePhase[] {
    return this.#asked.mayFailAs.has('MACHINE_UNAVAILABLE') ? ['provisioning'] : [];
  }

  #release(): void {
    for (const gate of this.#gates.splice(0)) gate.release();
  }

  #newTurnId(): string {
    const turnId = `t${this.#turnIds.length + 1}`;
    this.#turnIds.push(turnId);
    return turnId;
  }

  async #ofTurn(target: number, work: (turnId: string) => Promise<void>): Promise<void> {
    const turnId = this.#turnIds[target % Math.max(1, this.#turnIds.length)];
    if (turnId !== undefined) await work(turnId);
  }

  async #send(signal: string, ...args: unknown[]): Promise<void> {
    await this.#lane.send(signal, ...args);
  }
}
