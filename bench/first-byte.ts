/**
 * `first-byte`: from the call of `submitTurn` to the start of the command, on a warm machine, with a model that asks for it at
 * once. The command's first instruction reads the guest's clock, which is the host's here; bash has it without a process.
 */
import { scaled, type Benchmark } from './benchmark.js';
import { samplePairs } from './pairs.js';
import { withRig } from './rig.js';
import { describeStages, type SeenTurn } from './stages.js';
import { summarize, toText } from './statistics.js';

const PAIRS = 200;
const PROMPT = 'Please run:\n$ echo "stamp=$EPOCHREALTIME"';
const MS_PER_S = 1_000;

/** When the command began, ms since the epoch, out of what it printed. */
function stampOf(answer: string | null): number {
  const seconds = /stamp=(\d+[.,]\d+)/.exec(answer ?? '')?.[1];
  if (seconds === undefined) throw new Error(`no time stamp in the answer: ${answer ?? ''}`);
  return Number(seconds.replace(',', '.')) * MS_PER_S;
}

export const firstByte: Benchmark = {
  name: 'first-byte',
  title: 'warm machine, model without delay: from submitTurn to the command’s start by the guest’s clock',
  targets: { p50_ms: { max: 60 }, p95_ms: { max: 130 } },
  run: (context) =>
    withRig(context, { modelDelayMs: 0 }, async (rig) => {
      const session = await rig.handler.createSession();
      const turns: SeenTurn[] = [];
      const baseline = async (): Promise<number> => {
        const calledAt = Date.now();
        return stampOf(await rig.handler.handle(session, PROMPT)) - calledAt;
      };
      const subject = async (): Promise<number> => {
        const calledAt = Date.now();
        const { answer, turnId } = await rig.runTurn('guest', PROMPT);
        const seen = { turnId, calledAt, resultAt: Date.now(), commandAt: stampOf(answer) };
        turns.push(seen);
        return seen.commandAt - calledAt;
      };
      await samplePairs(10, { baseline, subject });
      turns.length = 0;
      const pairs = await samplePairs(scaled(context, PAIRS), { baseline, subject });
      const first = summarize(pairs.map((pair) => pair.subject));
      context.say(`durable, ms    ${toText(first)}`);
      context.say(`bare, ms       ${toText(summarize(pairs.map((pair) => pair.baseline)))}`);
      context.say(`to the result  ${toText(summarize(turns.map((seen) => seen.resultAt - seen.calledAt)))}`);
      context.say('Where the time goes (medians of the stages, and their running sum):');
      for (const line of await describeStages(rig, 'guest', turns)) context.say(`  ${line}`);
      return { p50_ms: first.p50, p95_ms: first.p95 };
    }),
};
