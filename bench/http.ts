/** `http-accept` and `first-sse`: what HTTP adds between a backend and the record. The baseline is the client library in this process. */
import type { InnkeeperClient } from '../src/client.js';
import { scaled, type Benchmark, type BenchmarkContext } from './benchmark.js';
import { startRigGateway, type RigGateway } from './gateway-rig.js';
import { samplePairs, timed, type Pair } from './pairs.js';
import { withRig, type Rig } from './rig.js';
import { summarize, toText } from './statistics.js';

const PAIRS = 100;
const WARM_UP = 5;
/** Users who talk all the time beside the loaded samples. */
const TALKERS = 4;
const PROMPT = 'hello';

function report(context: BenchmarkContext, name: string, pairs: readonly Pair[]) {
  const subject = summarize(pairs.map((pair) => pair.subject));
  const baseline = summarize(pairs.map((pair) => pair.baseline));
  context.say(`${name}, HTTP, ms     ${toText(subject)}`);
  context.say(`${name}, library, ms  ${toText(baseline)}`);
  context.say(`${name}, ratio of the medians ${(subject.p50 / baseline.p50).toFixed(2)}`);
  return subject;
}

/** Submits turns of one user, each after the one before it is over, by either way. */
function createSubmitters(rig: Rig, gateway: RigGateway) {
  let count = 0;
  const { client } = rig.stack;
  const turn = (userId: string) => ({ userId, turnId: `t${(count += 1)}`, prompt: PROMPT });
  const untilOver = async (of: { userId: string; turnId: string }): Promise<void> => void (await client.turnResult(of));
  return { turn, untilOver, http: httpOf(gateway), library: libraryOf(client) };
}

const libraryOf =
  (client: InnkeeperClient) =>
  async (turn: { userId: string; turnId: string; prompt: string }): Promise<void> =>
    void (await client.submitTurn(turn));

const httpOf =
  (gateway: RigGateway) =>
  async ({ userId, ...body }: { userId: string; turnId: string; prompt: string }): Promise<void> => {
    const status = await gateway.submit(userId, body);
    if (status !== 202) throw new Error(`a turn was answered ${status}`);
  };

export const httpAccept: Benchmark = {
  name: 'http-accept',
  title: 'from POST to the whole 202: the turn is stored, and its lane told',
  targets: { p50_ms: { max: 40 } },
  run: (context) =>
    withRig(context, { modelDelayMs: 0 }, async (rig) => {
      const { turn, untilOver, http, library } = createSubmitters(rig, await startRigGateway(rig));
      const by = (submit: typeof http) => async (): Promise<number> => {
        const next = turn('ada');
        const ms = await timed(() => submit(next));
        await untilOver(next);
        return ms;
      };
      const measure = { baseline: by(library), subject: by(http) };
      await samplePairs(WARM_UP, measure);
      const idle = report(context, 'idle', await samplePairs(scaled(context, PAIRS), measure));
      let isOver = false;
      const talkers = Array.from({ length: TALKERS }, async (_, n) => {
        while (!isOver) {
          const next = turn(`talker-${n}`);
          await library(next);
          await untilOver(next);
        }
      });
      const loaded = report(context, 'loaded', await samplePairs(scaled(context, PAIRS), measure));
      isOver = true;
      await Promise.all(talkers);
      return { p50_ms: idle.p50, p95_ms: idle.p95, loaded_p50_ms: loaded.p50, loaded_p95_ms: loaded.p95 };
    }),
};

export const firstSse: Benchmark = {
  name: 'first-sse',
  title: 'from POST to the first event of the turn at a follower of the user',
  targets: { p95_ms: { max: 100 } },
  run: (context) =>
    withRig(context, { modelDelayMs: 0 }, async (rig) => {
      const gateway = await startRigGateway(rig);
      const { turn, untilOver, http, library } = createSubmitters(rig, gateway);
      const { client } = rig.stack;
      await client.createUser({ userId: 'ada' });

      /** Behind all that has happened so far; `end` would be where it is once somebody has looked. */
      const lastSeq = async (): Promise<number> => {
        const { events } = (await gateway.get('/v1/users/ada/transcript?limit=1')) as { events: string };
        return Number(events);
      };

      const overHttp = async (): Promise<number> => {
        const next = turn('ada');
        let onFirst = (): void => undefined;
        const first = new Promise<void>((resolve) => (onFirst = resolve));
        const stream = await gateway.open(`/v1/users/ada/events?after=${await lastSeq()}`, (text) => {
          if (text.includes(`"turnId":"${next.turnId}"`)) onFirst();
        });
        const ms = await timed(() => Promise.all([first, http(next)]));
        stream.close();
        await untilOver(next);
        return ms;
      };
      const byLibrary = async (): Promise<number> => {
        const next = turn('ada');
        const left = new AbortController();
        const after = { seq: await lastSeq(), try: 0, n: 0 };
        const first = firstOf(client.followEvents({ userId: 'ada', after, signal: left.signal }));
        const ms = await timed(() => Promise.all([first, library(next)]));
        left.abort();
        await untilOver(next);
        return ms;
      };
      const measure = { baseline: byLibrary, subject: overHttp };
      await samplePairs(WARM_UP, measure);
      const { p50, p95 } = report(context, 'first event', await samplePairs(scaled(context, PAIRS), measure));
      return { p50_ms: p50, p95_ms: p95 };
    }),
};

async function firstOf<T>(items: AsyncIterable<T>): Promise<T | undefined> {
  for await (const item of items) return item;
  return undefined;
}
