/** What is recorded: each scenario takes one lane along a stretch of its life. Together they cover every state (coverage.ts). */
import { randomUUID } from 'node:crypto';
import { waitFor } from '../support/wait-for.js';
import { nameOf, ofType, summaryOf } from '../workflow/support/history.js';
import type { LaneHarness, TestLane } from '../workflow/support/lane-harness.js';
import { sendRaw } from '../workflow/support/raw-signal.js';

export interface Scenario {
  readonly name: string;
  /** Plays it; the lane may end or still run afterwards. */
  play(lane: TestLane, harness: LaneHarness): Promise<void>;
}

const COMMAND = [['bash']];
/** More signals than a run may have events. */
const LONG_EVENTS = 1_000;

async function turn(lane: TestLane, turnId: string, plan: readonly (readonly string[])[] = COMMAND): Promise<void> {
  await lane.submit(turnId, plan);
  await lane.ended(turnId);
}

async function fallAsleep(lane: TestLane): Promise<void> {
  await lane.send('sleepNow');
  await lane.reaches('sleep', (state) => state.phase === 'asleep');
}

async function ended(lane: TestLane): Promise<void> {
  // However the run ends is what is recorded.
  await lane.handle.result().catch(() => undefined);
}

/** A turn that stands in mid command. */
async function inCommand(lane: TestLane, turnId: string): Promise<() => void> {
  const command = lane.record.hold('act');
  await lane.submit(turnId, [['bash'], ['bash']]);
  await command.reached;
  return command.release;
}

async function pauses(lane: TestLane, summary: string): Promise<void> {
  await waitFor(`the pause "${summary}"`, async () =>
    ofType(await lane.events(), 'timerStarted').some((event) => summaryOf(event)?.endsWith(summary)),
  );
}

async function loads(lane: TestLane, phase: 'provisioning' | 'bootstrapping' | 'waking' | 'sleeping'): Promise<void> {
  lane.record.generation = 1;
  lane.record.phase = phase;
  lane.record.admit('waiting', COMMAND);
  await lane.start();
  await lane.ended('waiting');
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'first-turns',
    async play(lane) {
      await turn(lane, 'one', [['bash', 'read_file'], ['write_file']]);
      await turn(lane, 'two', []);
      await turn(lane, 'three');
    },
  },
  {
    name: 'answered-before-the-machine-came',
    async play(lane) {
      const creation = lane.record.hold('provisionMachine');
      await turn(lane, 'talk', []);
      await creation.reached;
      creation.release();
      await turn(lane, 'work');
    },
  },
  {
    name: 'sleeps-and-wakes',
    async play(lane) {
      lane.record.settings.idleMs = 300;
      await turn(lane, 'one');
      await lane.reaches('sleep', (state) => state.phase === 'asleep');
      lane.record.isBootstrapLost = true;
      await turn(lane, 'two');
      await lane.reaches('sleep', (state) => state.phase === 'asleep');
      lane.record.settings.idleMs = 3_600_000;
      await lane.send('wakeNow');
      await lane.reaches('the wake', (state) => state.phase === 'ready');
      await lane.send('wakeNow');
    },
  },
  {
    name: 'turn-during-sleep',
    async play(lane) {
      await turn(lane, 'one');
      const sleep = lane.record.hold('sleepMachine');
      await lane.send('sleepNow');
      await sleep.reached;
      await lane.submit('two', COMMAND);
      sleep.release();
      await lane.ended('two');
    },
  },
  {
    name: 'sleep-that-is-busy',
    async play(lane) {
      await turn(lane, 'one');
      lane.record.leasedUntilMs = Date.now() + 500;
      lane.record.isSleepClosed = true;
      await fallAsleep(lane);
      await turn(lane, 'two');
      lane.record.admit('unheard');
      await lane.send('sleepNow');
      await lane.ended('unheard');
    },
  },
  {
    name: 'sleep-of-nothing',
    async play(lane) {
      lane.record.userState = 'active';
      await lane.send('sleepNow');
      await waitFor('the contact', () => lane.record.lane === 1);
    },
  },
  {
    name: 'queue-and-mail',
    async play(lane) {
      await lane.send('enqueueTurn', { turnId: 'inline', prompt: 'hello' });
      await lane.ended('inline');
      const release = await inCommand(lane, 'running');
      await lane.submit('waiting');
      await lane.submit('last');
      await lane.send('cancelTurn', { turnId: 'waiting' });
      await lane.send('cancelTurn', { turnId: 'nobody' });
      await lane.send('enqueueTurn', { turnId: 'more', prompt: 'hello' });
      await lane.send('enqueueTurn', 7);
      release();
      await lane.ended('more');
    },
  },
  {
    name: 'hostile-mail',
    async play(lane, harness) {
      await lane.start('garbage', 7);
      for (const name of ['enqueueTurn', 'cancelTurn', 'machineLost', 'sleepNow', 'wakeNow', 'unheard-of']) {
        await sendRaw(harness, lane, { name });
        await sendRaw(harness, lane, { name, payloads: [{ encoding: 'binary/unknown', data: 'x' }] });
      }
      await turn(lane, 'next');
    },
  },
  {
    name: 'cancels',
    async play(lane) {
      await turn(lane, 'first');
      await inCommand(lane, 'acting');
      lane.record.requestCancel('acting');
      await lane.send('cancelTurn', { turnId: 'acting' });
      await lane.ended('acting');
      // Where the stop fails, the cancellation itself ends the call.
      lane.record.fail('stopCommand', 'INTERNAL');
      await inCommand(lane, 'unstopped');
      await lane.send('cancelTurn', { turnId: 'unstopped' });
      await lane.ended('unstopped');
      const thought = lane.record.hold('think');
      await lane.submit('thinking');
      await thought.reached;
      await lane.send('cancelTurn', { turnId: 'thinking' });
      await lane.ended('thinking');
      thought.release();
      await turn(lane, 'next');
    },
  },
  {
    name: 'cancel-while-the-machine-comes',
    async play(lane) {
      const creation = lane.record.hold('provisionMachine');
      await lane.submit('t', COMMAND);
      await waitFor('the first answer', () => lane.record.find('t')?.steps.length === 1);
      await lane.send('cancelTurn', { turnId: 't' });
      await lane.ended('t');
      creation.release();
      await turn(lane, 'next');
    },
  },
  {
    name: 'bounds',
    async play(lane) {
      lane.record.settings.stepsMax = 2;
      await turn(lane, 'endless', [['bash'], ['bash'], ['bash']]);
      lane.record.settings.wallMs = 300;
      lane.record.hold('act');
      await turn(lane, 'slow');
    },
  },
  {
    name: 'failures',
    async play(lane) {
      await turn(lane, 'first');
      lane.record.fail('think', 'MODEL_UNAVAILABLE');
      await turn(lane, 'no-model');
      lane.record.fail('act', 'INTERNAL');
      lane.record.fail('stopCommand', 'INTERNAL');
      await turn(lane, 'no-tool');
      lane.record.fail('act', 'STALE_LANE');
      await turn(lane, 'stale');
    },
  },
  {
    name: 'machine-in-trouble',
    async play(lane) {
      lane.record.fail('provisionMachine', 'PROVIDER_REFUSED');
      await turn(lane, 'refused');
      lane.record.fail('bootstrapMachine', 'MACHINE_LOST');
      await turn(lane, 'replaced');
      lane.record.isAsleepByItself = true;
      await turn(lane, 'autosleep');
      lane.record.isMachineGone = true;
      await turn(lane, 'gone');
      lane.record.isMachineGone = true;
      lane.record.fail('markMachineLost', 'PROVIDER_UNAVAILABLE');
      await lane.send('machineLost', { generation: lane.record.generation });
      await lane.reaches('the failure', (state) => state.lastErrorCode === 'PROVIDER_UNAVAILABLE');
      await lane.send('machineLost', { generation: lane.record.generation });
      await lane.reaches('the loss', (state) => state.phase === 'failed');
      await turn(lane, 'last');
      await fallAsleep(lane);
      lane.record.fail('wakeMachine', 'PROVIDER_UNAUTHORIZED');
      await turn(lane, 'no-wake');
      await turn(lane, 'woken');
    },
  },
  { name: 'loads-provisioning', play: (lane) => loads(lane, 'provisioning') },
  { name: 'loads-bootstrapping', play: (lane) => loads(lane, 'bootstrapping') },
  { name: 'loads-waking', play: (lane) => loads(lane, 'waking') },
  { name: 'loads-sleeping', play: (lane) => loads(lane, 'sleeping') },
  {
    name: 'long-turn',
    async play(lane) {
      await turn(lane, 'first');
      const release = await inCommand(lane, 'long');
      await lane.send('sleepNow');
      await Promise.all(Array.from({ length: LONG_EVENTS }, () => lane.send('unheard-of')));
      release();
      await lane.ended('long');
      await lane.reaches('sleep', (state) => state.phase === 'asleep');
    },
  },
  {
    name: 'terminated-in-mid-command',
    async play(lane) {
      await turn(lane, 'first');
      const release = await inCommand(lane, 't');
      await lane.handle.terminate();
      await lane.send('enqueueTurn', { turnId: 't' });
      await lane.ended('t');
      release();
    },
  },
  {
    name: 'terminated-then-cancelled',
    async play(lane) {
      await turn(lane, 'first');
      const release = await inCommand(lane, 't');
      await lane.handle.terminate();
      lane.record.requestCancel('t');
      lane.record.isMachineGone = true;
      await lane.send('cancelTurn', { turnId: 't' });
      await lane.ended('t');
      release();
    },
  },
  {
    name: 'reset-in-mid-command',
    async play(lane, harness) {
      await turn(lane, 'first');
      const release = await inCommand(lane, 't');
      const at = (await lane.events()).findLast((event) => nameOf(event) === 'workflowTaskCompleted');
      await harness.client.workflowService.resetWorkflowExecution({
        namespace: harness.client.options.namespace,
        workflowExecution: { workflowId: lane.workflowId },
        reason: 'recording',
        requestId: randomUUID(),
        workflowTaskFinishEventId: at?.eventId ?? null,
      });
      await lane.ended('t');
      release();
    },
  },
  {
    name: 'cancel-request-in-mid-command',
    async play(lane) {
      await turn(lane, 'first');
      const release = await inCommand(lane, 't');
      await lane.send('enqueueTurn', { turnId: 'inline', prompt: 'hello' });
      await lane.handle.cancel();
      await ended(lane);
      await lane.send('enqueueTurn', { turnId: 't' });
      await lane.ended('inline');
      release();
      await lane.handle.cancel();
      await ended(lane);
    },
  },
  {
    name: 'store-in-trouble',
    async play(lane) {
      await turn(lane, 'first');
      lane.record.fail('openNextTurn', 'STORE_NOT_MIGRATED', { times: 2 });
      lane.record.admit('t', COMMAND);
      await lane.send('enqueueTurn', { turnId: 't' });
      await lane.ended('t');
      lane.record.fail('think', 'MODEL_UNAVAILABLE');
      lane.record.fail('closeTurn', 'INTERNAL');
      await turn(lane, 'unclosed');
    },
  },
  {
    name: 'store-away-at-the-end-of-a-turn',
    async play(lane) {
      await turn(lane, 'first');
      lane.record.fail('think', 'MODEL_UNAVAILABLE');
      lane.record.fail('closeTurn', 'STORE_UNAVAILABLE', { times: 1_000, isRetryable: true });
      await lane.submit('t');
      await pauses(lane, 'close again after an error');
      lane.record.heal('closeTurn');
      await lane.ended('t');
    },
  },
  {
    name: 'mail-in-trouble',
    async play(lane) {
      await turn(lane, 'first');
      for (const name of ['admitPrompt', 'recordCancel', 'recordRejection'] as const)
        lane.record.fail(name, 'INTERNAL');
      lane.record.fail('admitPrompt', 'INTERNAL');
      await lane.send('enqueueTurn', { turnId: 'inline', prompt: 'hello' });
      await lane.send('cancelTurn', { turnId: 'nobody' });
      await lane.send('enqueueTurn', 7);
      await turn(lane, 'meanwhile');
      await lane.ended('inline');
      await waitFor('the refusals', () => lane.record.rejections.length === 2);
    },
  },
  {
    name: 'sleep-in-trouble',
    async play(lane) {
      await turn(lane, 'first');
      lane.record.fail('sleepMachine', 'PROVIDER_UNAVAILABLE');
      await fallAsleep(lane);
      await turn(lane, 'next');
    },
  },
  {
    name: 'destroyed-in-mid-command',
    async play(lane) {
      await turn(lane, 'first');
      await inCommand(lane, 't');
      await lane.submit('waiting');
      lane.record.fail('destroyMachine', 'PROVIDER_UNAUTHORIZED', { times: 2 });
      lane.record.userState = 'destroying';
      await lane.send('destroy');
      await ended(lane);
      await lane.send('enqueueTurn', { turnId: 'late' });
      await ended(lane);
      lane.record.createAgain();
      await turn(lane, 'anew');
    },
  },
  {
    name: 'destroyed-while-created',
    async play(lane) {
      const creation = lane.record.hold('provisionMachine');
      await lane.submit('t', COMMAND);
      await creation.reached;
      await lane.send('destroy');
      await lane.ended('t');
      creation.release();
      await ended(lane);
    },
  },
  {
    name: 'destroyed-while-bootstrapped',
    async play(lane) {
      const bootstrap = lane.record.hold('bootstrapMachine');
      await lane.submit('t', COMMAND);
      await bootstrap.reached;
      await lane.send('destroy');
      await ended(lane);
    },
  },
  {
    name: 'destroyed-while-woken',
    async play(lane) {
      await turn(lane, 'first');
      await fallAsleep(lane);
      const wake = lane.record.hold('wakeMachine');
      await lane.send('wakeNow');
      await wake.reached;
      await lane.send('destroy');
      await ended(lane);
    },
  },
  {
    name: 'nobody',
    async play(lane) {
      await lane.send('enqueueTurn', { turnId: 't' });
      await ended(lane);
    },
  },
  {
    name: 'announced-turns',
    async play(lane) {
      await turn(lane, 'one');
      await lane.rests();
      await turn(lane, 'two');
      await lane.rests();
      lane.record.admit('unannounced', COMMAND);
      await turn(lane, 'three');
      await lane.rests();
      await fallAsleep(lane);
    },
  },
  {
    name: 'settled-again',
    async play(lane) {
      await turn(lane, 'one');
      await lane.rests();
      const command = lane.record.hold('act');
      const { steps } = await lane.submit('two', [['bash', 'bash']]);
      await command.reached;
      lane.record.fail('closeTurn', 'STORE_UNAVAILABLE', { times: 1_000, isRetryable: true });
      lane.record.requestCancel('two');
      await lane.send('cancelTurn', { turnId: 'two' });
      await waitFor('the first stop is over', () => lane.record.count('closeTurn') > 0);
      // What a late worker sends behind the stop.
      Object.assign(steps[0]?.[1] ?? {}, { isSubmitted: true, runs: 1 });
      lane.record.heal('closeTurn');
      await lane.ended('two');
    },
  },
  {
    name: 'destruction-unheard',
    async play(lane) {
      await turn(lane, 'first');
      await lane.send('look');
      lane.record.userState = 'destroying';
      await lane.send('look');
      await ended(lane);
    },
  },
  {
    name: 'told-while-destroyed',
    async play(lane) {
      await turn(lane, 'first');
      const destruction = lane.record.hold('destroyMachine');
      await lane.send('destroy');
      await destruction.reached;
      await lane.send('look');
      await waitFor('the lane has looked', async () => {
        const names = (await lane.events()).map(nameOf);
        return names.lastIndexOf('workflowTaskCompleted') > names.lastIndexOf('workflowExecutionSignaled');
      });
      destruction.release();
      await ended(lane);
    },
  },
  {
    name: 'asleep-and-doubted',
    async play(lane) {
      await turn(lane, 'first');
      await fallAsleep(lane);
      lane.record.fail('sleepMachine', 'PROVIDER_UNAVAILABLE');
      await lane.send('sleepNow');
      await waitFor('the second try', () => lane.record.count('sleepMachine') === 3);
      await turn(lane, 'next');
    },
  },
  {
    name: 'lost-with-no-turn-in-sight',
    async play(lane) {
      lane.record.userState = 'active';
      lane.record.generation = 1;
      lane.record.phase = 'waking';
      lane.record.isMachineGone = true;
      await lane.start();
      await lane.reaches('the loss', (state) => state.phase === 'failed');
      await turn(lane, 'next');
    },
  },
];
