/**
 * `wake`: a turn on a sleeping machine against the same calls one after another. The wake takes a second, the model a second a
 * call; one command. Side by side with the first model call the wake is hidden.
 */
import { waitFor } from '../test/support/wait-for.js';
import { scaled, type Benchmark } from './benchmark.js';
import { openLanes } from './lanes.js';
import { samplePairs, timed } from './pairs.js';
import { withRig } from './rig.js';
import { summarize, toText } from './statistics.js';

const PAIRS = 15;
const WAKE_MS = 1_000;
const MODEL_DELAY_MS = 1_000;
const PROMPT = 'Please run:\n$ echo done';

export const wake: Benchmark = {
  name: 'wake',
  title: `sleeping machine, wake ${WAKE_MS} ms, model ${MODEL_DELAY_MS} ms a call, one command: durable turn against one call after another`,
  targets: { ratio_p50: { max: 0.75 } },
  run: (context) =>
    withRig(context, { modelDelayMs: 0, emulator: { wakeMs: WAKE_MS } }, async (rig) => {
      const { client, emulator } = rig.stack;
      const session = await rig.handler.createSession();
      const user = { userId: 'guest' };
      const lanes = await openLanes(rig.temporalAddress);
      const untilAsleep = (machineId: string): Promise<unknown> =>
        waitFor('the machine sleeps', async () => {
          const { phase } = await emulator.get<{ phase: string }>(`/_emulator/machines/${machineId}`);
          return phase === 'sleeping';
        });
      const baseline = async (): Promise<number> => {
        await rig.handler.sleep(session);
        await untilAsleep(session.machineId);
        return timed(() => rig.handler.handle(session, PROMPT));
      };
      const subject = async (): Promise<number> => {
        await client.sleepNow(user);
        await waitFor('the user sleeps', async () => (await client.getUser(user)).machine.phase === 'asleep');
        await waitFor('the lane has continued as new', async () => (await lanes.newestRun(user.userId)).isAtRest);
        return timed(() => rig.runTurn(user.userId, PROMPT));
      };
      await rig.handler.handle(session, PROMPT);
      await rig.runTurn(user.userId, PROMPT);
      await samplePairs(1, { baseline, subject });
      await rig.setModelDelay(MODEL_DELAY_MS);
      const pairs = await samplePairs(scaled(context, PAIRS), { baseline, subject });
      await lanes.close();
      const ratio = summarize(pairs.map((pair) => pair.subject / pair.baseline));
      context.say(`durable, ms         ${toText(summarize(pairs.map((pair) => pair.subject)))}`);
      context.say(`one after another   ${toText(summarize(pairs.map((pair) => pair.baseline)))}`);
      context.say(`ratio               ${toText(ratio, 3)}`);
      return { ratio_p50: ratio.p50 };
    }),
};
