/**
 * `cancel`: from the call of `cancelTurn` to the death of the running command's session, seen from outside, on the host. Beside it
 * what the plain handler has in its place: Ctrl-C typed into the terminal.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { waitFor } from '../test/support/wait-for.js';
import { scaled, type Benchmark } from './benchmark.js';
import { samplePairs } from './pairs.js';
import { findByCommand, isAlive, sessionOf } from './processes.js';
import { withRig } from './rig.js';
import { summarize, toText } from './statistics.js';

const PAIRS = 60;
const POLL_MS = 1;
const DEATH_MS_MAX = 30_000;
/** A command runs for a while before it is cancelled: everything that follows its start is over. */
const SETTLE_MS = 150;

/** Calls `cancel` and waits until none of the processes is left; ms. */
async function timeToDeath(pids: readonly number[], cancel: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  const cancelling = cancel();
  while (pids.some(isAlive)) {
    if (performance.now() - startedAt > DEATH_MS_MAX) throw new Error('the command outlived its cancel');
    await delay(POLL_MS);
  }
  const tookMs = performance.now() - startedAt;
  await cancelling;
  return tookMs;
}

export const cancel: Benchmark = {
  name: 'cancel',
  title: 'from cancelTurn to the death of the command’s process group, seen on the host',
  targets: { p50_ms: { max: 100 }, p95_ms: { max: 100 } },
  run: (context) =>
    withRig(context, { modelDelayMs: 0 }, async (rig) => {
      const { client } = rig.stack;
      const session = await rig.handler.createSession();
      await rig.handler.handle(session, '$ true');
      await rig.runTurn('guest', '$ true');
      let commands = 0;
      /** A command that can be told from all others on the host, and the pid of its process there. */
      const nextCommand = (): { readonly text: string; readonly argv: readonly string[] } => {
        const seconds = `3600.${process.pid}${(commands += 1)}`;
        return { text: `$ sleep ${seconds}`, argv: ['sleep', seconds] };
      };
      const untilRunning = async (argv: readonly string[]): Promise<number> => {
        const pid = await waitFor('the command runs', () => findByCommand(argv));
        await delay(SETTLE_MS);
        return pid;
      };
      const baseline = async (): Promise<number> => {
        const { text, argv } = nextCommand();
        const answer = rig.handler.handle(session, text).catch(() => undefined); // Interrupted, as it should be.
        const pid = await untilRunning(argv);
        // The command alone: its session is the interactive shell, which lives on.
        const tookMs = await timeToDeath([pid], async () => session.terminal?.interrupt());
        await answer;
        session.messages.splice(-2); // A message without its answer, which a model would refuse.
        return tookMs;
      };
      const subject = async (): Promise<number> => {
        const { text, argv } = nextCommand();
        const turn = { userId: 'guest', turnId: `cancelled-${commands}` };
        await client.submitTurn({ ...turn, prompt: text });
        const pids = sessionOf(await untilRunning(argv));
        const tookMs = await timeToDeath(pids, () => client.cancelTurn(turn));
        const { state } = await client.turnResult(turn);
        if (state !== 'cancelled') throw new Error(`a cancelled turn ended ${state}`);
        return tookMs;
      };
      await samplePairs(3, { baseline, subject });
      const pairs = await samplePairs(scaled(context, PAIRS), { baseline, subject });
      const death = summarize(pairs.map((pair) => pair.subject));
      context.say(`cancelTurn, ms   ${toText(death)}`);
      context.say(`bare Ctrl-C, ms  ${toText(summarize(pairs.map((pair) => pair.baseline)))}`);
      return { p50_ms: death.p50, p95_ms: death.p95 };
    }),
};
