/**
 * `history`: what one user's turns leave in Temporal, by the server's own count of events and bytes, over all runs of the lane.
 *
 * `growth_ratio` is the last third against the first: events, bytes or time a turn, whichever grew most. The time is the median.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { scaled, type Benchmark } from './benchmark.js';
import { openLanes, type LaneReader, type RunSize } from './lanes.js';
import { timed } from './pairs.js';
import { withRig } from './rig.js';
import { median, summarize, toText } from './statistics.js';

const TURNS = 300;
const PROMPT = 'Please run:\n$ echo done';
const QUIET_MS = 150;

/** Adds up all runs that a lane has had. */
function createTally(
  lanes: LaneReader,
  userId: string,
): { read(): Promise<{ events: number; bytes: number; runs: number }> } {
  const runs = new Map<string, RunSize>();
  return {
    async read() {
      const newest = await lanes.newestRun(userId);
      // The one before it may have grown after it was read.
      for (const { runId } of [...runs.values()].slice(-1)) runs.set(runId, await lanes.run(userId, runId));
      runs.set(newest.runId, newest);
      const sum = (of: (run: RunSize) => number): number =>
        [...runs.values()].reduce((total, run) => total + of(run), 0);
      return { events: sum((run) => run.events), bytes: sum((run) => run.bytes), runs: runs.size };
    },
  };
}

export const history: Benchmark = {
  name: 'history',
  title: 'events and bytes in Temporal of the one-command turns of one user',
  targets: { events_per_turn: { max: 30 }, bytes_per_turn: { max: 6 * 1_024 }, growth_ratio: { max: 1.1 } },
  run: (context) =>
    withRig(context, { modelDelayMs: 0 }, async (rig) => {
      const lanes = await openLanes(rig.temporalAddress);
      try {
        await rig.runTurn('guest', PROMPT);
        const tally = createTally(lanes, 'guest');
        const third = Math.ceil(scaled(context, TURNS, 9) / 3);
        const marks = [await quietTally(tally)];
        const times: number[][] = [];
        for (let part = 0; part < 3; part += 1) {
          const took: number[] = [];
          for (let turn = 0; turn < third; turn += 1) {
            took.push(await timed(() => rig.runTurn('guest', PROMPT)));
            await tally.read();
          }
          times.push(took);
          marks.push(await quietTally(tally));
        }
        const perTurn = marks.slice(1).map((mark, part) => ({
          events: (mark.events - (marks[part]?.events ?? 0)) / third,
          bytes: (mark.bytes - (marks[part]?.bytes ?? 0)) / third,
          ms: median(times[part] ?? []),
        }));
        perTurn.forEach(({ events, bytes }, part) => {
          context.say(
            `turns ${part * third + 1}–${(part + 1) * third}: ${events.toFixed(1)} events, ${bytes.toFixed(0)} bytes a turn; ms ${toText(summarize(times[part] ?? []))}`,
          );
        });
        const [first, last] = [perTurn[0], perTurn[2]];
        const [begin, end] = [marks[0], marks[3]];
        if (first === undefined || last === undefined || begin === undefined || end === undefined) {
          throw new Error('three parts were measured');
        }
        const growth = { events: last.events / first.events, bytes: last.bytes / first.bytes, ms: last.ms / first.ms };
        context.say(
          `last third against first: events ${growth.events.toFixed(3)}, bytes ${growth.bytes.toFixed(3)}, time ${growth.ms.toFixed(3)}; ${end.runs} runs`,
        );
        return {
          events_per_turn: (end.events - begin.events) / (3 * third),
          bytes_per_turn: (end.bytes - begin.bytes) / (3 * third),
          growth_ratio: Math.max(growth.events, growth.bytes, growth.ms),
        };
      } finally {
        await lanes.close();
      }
    }),
};

/** A result is there before the lane has done its last work for it: waits until the count stands still. */
async function quietTally(tally: ReturnType<typeof createTally>): ReturnType<ReturnType<typeof createTally>['read']> {
  for (let last = await tally.read(); ;) {
    await delay(QUIET_MS);
    const now = await tally.read();
    if (now.events === last.events) return now;
    last = now;
  }
}
