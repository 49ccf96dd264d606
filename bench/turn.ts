/** `turn`: a durable turn against the plain handler, with a model that takes a second a call, and one command. */
import { scaled, type Benchmark } from './benchmark.js';
import { samplePairs, timed } from './pairs.js';
import { withRig } from './rig.js';
import { median, summarize, toText } from './statistics.js';

const PAIRS = 25;
const MODEL_DELAY_MS = 1_000;
const PROMPT = 'Please run:\n$ echo done';

export const turn: Benchmark = {
  name: 'turn',
  title: `one command, model ${MODEL_DELAY_MS} ms a call: durable turn against the plain handler`,
  targets: { ratio_p50: { max: 1.05 } },
  run: (context) =>
    withRig(context, { modelDelayMs: 0 }, async (rig) => {
      const session = await rig.handler.createSession();
      const baseline = (): Promise<number> => timed(() => rig.handler.handle(session, PROMPT));
      const subject = (): Promise<number> => timed(() => rig.runTurn('guest', PROMPT));
      await samplePairs(3, { baseline, subject }); // Machines made, terminals open, code compiled.
      await rig.setModelDelay(MODEL_DELAY_MS);
      const pairs = await samplePairs(scaled(context, PAIRS), { baseline, subject });
      const durable = summarize(pairs.map((pair) => pair.subject));
      const bare = summarize(pairs.map((pair) => pair.baseline));
      const ratio = summarize(pairs.map((pair) => pair.subject / pair.baseline));
      context.say(`durable, ms   ${toText(durable)}`);
      context.say(`bare, ms      ${toText(bare)}`);
      context.say(`ratio         ${toText(ratio, 3)}`);
      context.say(`added, ms     ${toText(summarize(pairs.map((pair) => pair.subject - pair.baseline)))}`);
      return {
        ratio_p50: median(pairs.map((pair) => pair.subject / pair.baseline)),
        durable_p50_ms: durable.p50,
        bare_p50_ms: bare.p50,
      };
    }),
};
