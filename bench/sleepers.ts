/**
 * `sleepers`: what users cost that sleep. Each is really created, given a turn and put to sleep through the stack; the worker's
 * cache holds far fewer lanes than there are users.
 *
 * `timers`: pending timers of all lanes. `events_each`: longest history of any. `rss_ratio`: the worker's memory at the end against
 * when its cache had just become full, no turn running either time.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { waitFor } from '../test/support/wait-for.js';
import { scaled, type Benchmark, type BenchmarkContext } from './benchmark.js';
import { inParallel } from './in-parallel.js';
import { openLanes } from './lanes.js';
import { samplePairs, timed } from './pairs.js';
import { readRssBytes } from './processes.js';
import { withRig, type Rig } from './rig.js';
import { median, summarize, toText } from './statistics.js';

const SLEEPERS = 2_000;
const CACHED_LANES = 400;
/** Users beyond the cache's size before its memory counts as that of a full cache. */
const CACHE_FULL_FACTOR = 1.5;
const AT_ONCE = 12;
const PAIRS = 30;
const PROMPT = 'Please run:\n$ echo done';
const SETTLE_MS = 5_000;
const RSS_SAMPLES = 20;
const RSS_PERIOD_MS = 250;
const BYTES_PER_MIB = 2 ** 20;
const ASLEEP_MS_MAX = 120_000;

const nameOf = (user: number): string => `sleeper-${user}`;

export const sleepers: Benchmark = {
  name: 'sleepers',
  title: `${SLEEPERS} sleeping users, ${CACHED_LANES} lanes in the worker’s cache`,
  targets: { timers: { max: 0 }, events_each: { max: 15 }, rss_ratio: { max: 1.1 } },
  run: (context) => {
    const cached = scaled(context, CACHED_LANES, 8);
    const options = {
      modelDelayMs: 0,
      emulator: { sleepMs: 0, wakeMs: 0 },
      env: { WORKER_MAX_CACHED_WORKFLOWS: String(cached) },
    };
    return withRig(context, options, async (rig) => {
      const count = scaled(context, SLEEPERS, 24);
      const whenFull = Math.min(count, Math.ceil(cached * CACHE_FULL_FACTOR));
      const startedAt = performance.now();
      await createSleepers(rig, { from: 0, to: whenFull }, context);
      const full = await readQuietRss(rig);
      await createSleepers(rig, { from: whenFull, to: count }, context);
      const tookS = (performance.now() - startedAt) / 1_000;
      const end = await readQuietRss(rig);
      const mib = (bytes: number): string => `${(bytes / BYTES_PER_MIB).toFixed(0)} MiB`;
      context.say(
        `${count} users in ${tookS.toFixed(0)} s; worker ${mib(full)} when the cache was full, ${mib(end)} at the end`,
      );
      const lanes = await readLanes(rig, count);
      context.say(`events each     ${toText(summarize(lanes.events), 0)}`);
      await compareTurns(rig, count, context);
      return { timers: lanes.timers, events_each: Math.max(...lanes.events), rss_ratio: end / full };
    });
  },
};

async function createSleepers(rig: Rig, range: { from: number; to: number }, context: BenchmarkContext): Promise<void> {
  const { client } = rig.stack;
  const users = Array.from({ length: range.to - range.from }, (_, index) => range.from + index);
  let done = 0;
  await inParallel(users, AT_ONCE, async (user) => {
    await rig.runTurn(nameOf(user), PROMPT);
    await putToSleep(client, nameOf(user));
    done += 1;
    if (done % 250 === 0) context.say(`… ${range.from + done} users asleep`);
  });
}

async function putToSleep(client: Rig['stack']['client'], userId: string): Promise<void> {
  await client.sleepNow({ userId });
  const isAsleep = async (): Promise<boolean> => (await client.getUser({ userId })).machine.phase === 'asleep';
  await waitFor(`${userId} sleeps`, isAsleep, ASLEEP_MS_MAX);
}

/** The worker's memory once its work is over: the median over some seconds. */
async function readQuietRss(rig: Rig): Promise<number> {
  await delay(SETTLE_MS);
  const samples: number[] = [];
  for (let sample = 0; sample < RSS_SAMPLES; sample += 1) {
    samples.push(readRssBytes(rig.pids.worker));
    await delay(RSS_PERIOD_MS);
  }
  return median(samples);
}

async function readLanes(rig: Rig, count: number): Promise<{ events: number[]; timers: number }> {
  const lanes = await openLanes(rig.temporalAddress);
  try {
    const events: number[] = [];
    let timers = 0;
    await inParallel([...Array(count).keys()], AT_ONCE, async (user) => {
      events.push((await lanes.newestRun(nameOf(user))).events);
      timers += await lanes.pendingTimers(nameOf(user));
    });
    return { events, timers };
  } finally {
    await lanes.close();
  }
}

/** A turn of a sleeper, each time another one, beside one of a user who is awake. The emulator's wake takes no time of its own. */
async function compareTurns(rig: Rig, count: number, context: BenchmarkContext): Promise<void> {
  await rig.runTurn('awake', PROMPT);
  let next = 0;
  const pairs = await samplePairs(Math.min(scaled(context, PAIRS), count), {
    baseline: () => timed(() => rig.runTurn('awake', PROMPT)),
    // Spread over all of them: some lanes are in the worker's cache, most are not.
    subject: () => timed(() => rig.runTurn(nameOf(Math.floor((next++ * count) / PAIRS) % count), PROMPT)),
  });
  context.say(`turn of a sleeper, ms  ${toText(summarize(pairs.map((pair) => pair.subject)))}`);
  context.say(`user awake, ms         ${toText(summarize(pairs.map((pair) => pair.baseline)))}`);
}
