/**
 * `delta` and `fanout`: from the model's byte to a follower's, through worker, Postgres and gateway. Both ends are in this process, so
 * one clock measures both. The baseline of `delta` is the same model read straight from it.
 */
import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { scaled, type Benchmark } from './benchmark.js';
import { startRigGateway } from './gateway-rig.js';
import { readCpu, readRssBytes } from './processes.js';
import { withRig } from './rig.js';
import { stampsOf, startStampedModel, type StampedModel } from './stamped-model.js';
import { quantile, summarize, toText } from './statistics.js';

const PIECES_PER_SECOND = 20;
const DELTA_PIECES = 400;
const FOLLOWERS = 1_000;
const TURNS = 50;
const FANOUT_SECONDS = 30;
const MS_PER_S = 1_000;
const BYTES_PER_MIB = 1_024 * 1_024;

/** Of a stream's text, the ages of the stamps in its answer deltas at this moment. */
function createAges(onAge: (ms: number) => void): (text: string) => void {
  let rest = '';
  return (text) => {
    const now = Date.now();
    const blocks = (rest + text).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      if (block.includes('event: answer.delta')) for (const stamp of stampsOf(block)) onAge(now - stamp);
    }
  };
}

/** The same answer without anything in between. */
async function readStraight(model: StampedModel): Promise<number[]> {
  const ages: number[] = [];
  await new Promise<void>((resolve, reject) => {
    const asked = request(`${model.url}/chat/completions`, { method: 'POST' }, (answer) => {
      answer.setEncoding('utf8').on('data', (text: string) => {
        const now = Date.now();
        ages.push(...stampsOf(text).map((stamp) => now - stamp));
      });
      answer.once('end', resolve);
    });
    asked.once('error', reject);
    asked.end('{}');
  });
  return ages;
}

export const delta: Benchmark = {
  name: 'delta',
  title: `the model's byte to the client's, ${PIECES_PER_SECOND} pieces a second, one follower`,
  targets: { p50_ms: { max: 60 }, p95_ms: { max: 150 } },
  async run(context) {
    const pieces = scaled(context, DELTA_PIECES, 40);
    const model = await startStampedModel({ piecesPerSecond: PIECES_PER_SECOND, pieces });
    try {
      return await withRig(context, { modelDelayMs: 0, env: { MODEL_BASE_URL: model.url } }, async (rig) => {
        const gateway = await startRigGateway(rig);
        await rig.runTurn('ada', 'warm up');
        const ages: number[] = [];
        const stream = await gateway.open(
          '/v1/users/ada/events?after=end',
          createAges((ms) => ages.push(ms)),
        );
        const [straight] = await Promise.all([readStraight(model), rig.runTurn('ada', 'speak')]);
        stream.close();
        const age = summarize(ages);
        context.say(`followed, ms   ${toText(age)}`);
        context.say(`straight, ms   ${toText(summarize(straight))}`);
        return { p50_ms: age.p50, p95_ms: age.p95 };
      });
    } finally {
      await model.stop();
    }
  },
};

export const fanout: Benchmark = {
  name: 'fanout',
  title: `${FOLLOWERS} followers of ${TURNS} turns that speak at once, ${PIECES_PER_SECOND} pieces a second each`,
  targets: {},
  async run(context) {
    const turns = scaled(context, TURNS);
    const followers = scaled(context, FOLLOWERS, turns);
    const pieces = FANOUT_SECONDS * PIECES_PER_SECOND;
    const model = await startStampedModel({ piecesPerSecond: PIECES_PER_SECOND, pieces });
    try {
      return await withRig(context, { modelDelayMs: 0, env: { MODEL_BASE_URL: model.url } }, async (rig) => {
        const gateway = await startRigGateway(rig);
        const users = Array.from({ length: turns }, (_, n) => `speaker-${n}`);
        for (const userId of users) await rig.stack.client.createUser({ userId });
        const ages: number[] = [];
        const streams = [];
        for (let n = 0; n < followers; n += 1) {
          const path = `/v1/users/${users[n % turns] ?? ''}/events?after=end`;
          streams.push(
            await gateway.open(
              path,
              createAges((ms) => ages.push(ms)),
            ),
          );
        }
        const pids = { gateway: gateway.process.pid, postgres: rig.pids.postgres, worker: rig.pids.worker };
        const before = { cpu: readCpu(pids), rss: readRssBytes(pids.gateway), at: performance.now() };
        await Promise.all(users.map((userId) => gateway.submit(userId, { turnId: 'speak', prompt: 'speak' })));
        await Promise.all(users.map((userId) => rig.stack.client.turnResult({ userId, turnId: 'speak' })));
        await delay(MS_PER_S); // The last pieces are on their way.
        const elapsedMs = performance.now() - before.at;
        const rssBytes = readRssBytes(pids.gateway);
        const cpu = readCpu(pids);
        for (const stream of streams) stream.close();
        const expected = followers * pieces;
        context.say(`delay, ms      ${toText(summarize(ages))}`);
        context.say(`pieces seen live ${ages.length} of ${expected}; the rest came with the answer's event`);
        const share = (name: keyof typeof pids): number => {
          const ms = (of: Record<string, { own: number; children: number }>): number =>
            (of[name]?.own ?? 0) + (of[name]?.children ?? 0);
          return (ms(cpu) - ms(before.cpu)) / elapsedMs;
        };
        return {
          p50_ms: quantile(ages, 0.5),
          p99_ms: quantile(ages, 0.99),
          seen_share: ages.length / expected,
          gateway_cpus: share('gateway'),
          postgres_cpus: share('postgres'),
          worker_cpus: share('worker'),
          gateway_rss_mib: rssBytes / BYTES_PER_MIB,
          gateway_grew_mib: (rssBytes - before.rss) / BYTES_PER_MIB,
        };
      });
    } finally {
      await model.stop();
    }
  },
};
