/**
 * `projection`: what each outward protocol adds to our own stream of events. One turn is followed by both at once; every piece of its
 * text is the time at which the model wrote it, so that the same piece is found at both, by one clock.
 */
import { scaled, type Benchmark, type BenchmarkContext } from './benchmark.js';
import { startRigGateway, type RigGateway } from './gateway-rig.js';
import { withRig } from './rig.js';
import { stampsOf, startStampedModel } from './stamped-model.js';
import { summarize, toText } from './statistics.js';

const PIECES_PER_SECOND = 20;
const PIECES = 200;
const OVERHEAD_MS_MAX = 10;

interface Way {
  readonly name: string;
  readonly path: (userId: string) => string;
  readonly body: (userId: string, prompt: string) => object;
  /** Whether a block of the stream brings new text. */
  readonly isText: (block: string) => boolean;
}

const WAYS: readonly Way[] = [
  {
    name: 'chat',
    path: () => '/v1/chat/completions',
    body: (user, content) => ({ user, messages: [{ role: 'user', content }], stream: true }),
    isText: (block) => block.includes('"content":'),
  },
  {
    name: 'responses',
    path: () => '/v1/responses',
    body: (user, input) => ({ user, input, stream: true }),
    isText: (block) => block.startsWith('event: response.output_text.delta'),
  },
  {
    name: 'ai-sdk',
    path: (user) => `/v1/users/${user}/ai-sdk/chat`,
    body: (user, text) => ({ messages: [{ id: `${user}-said`, role: 'user', parts: [{ type: 'text', text }] }] }),
    isText: (block) => block.includes('"type":"text-delta"'),
  },
  {
    name: 'ag-ui',
    path: (user) => `/v1/users/${user}/ag-ui`,
    body: (user, content) => ({
      ...{ threadId: 'main', runId: `${user}-run`, tools: [], context: [], state: {}, forwardedProps: {} },
      messages: [{ id: `${user}-said`, role: 'user', content }],
    }),
    isText: (block) => block.includes('"type":"TEXT_MESSAGE_CONTENT"'),
  },
];

/** When each piece came first, by its stamp. */
type Arrivals = ReadonlyMap<number, number>;

function createArrivals(isText: (block: string) => boolean): { onText: (text: string) => void; arrivals: Arrivals } {
  const arrivals = new Map<number, number>();
  let rest = '';
  return {
    arrivals,
    onText(text) {
      const now = performance.now();
      const blocks = (rest + text).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const stamp of blocks.filter(isText).flatMap(stampsOf)) if (!arrivals.has(stamp)) arrivals.set(stamp, now);
    },
  };
}

/** How much later each piece came by this way. */
async function measure(context: BenchmarkContext, gateway: RigGateway, way: Way): Promise<number> {
  const userId = `by-${way.name}`;
  const raw = createArrivals((block) => block.includes('event: answer.delta'));
  const own = createArrivals(way.isText);
  const following = await gateway.open(`/v1/users/${userId}/events?after=end`, raw.onText);
  const asked = await gateway.open(way.path(userId), own.onText, way.body(userId, 'speak'));
  await asked.ended;
  following.close();
  const overhead = [...raw.arrivals].flatMap(([stamp, at]) => {
    const other = own.arrivals.get(stamp);
    return other === undefined ? [] : [other - at];
  });
  const added = summarize(overhead);
  context.say(`${way.name.padEnd(12)} ms   ${toText(added)}`);
  return added.p50;
}

export const projection: Benchmark = {
  name: 'projection',
  title: `text by each protocol, later than by our own stream of the same turn, ${PIECES_PER_SECOND} pieces a second`,
  targets: Object.fromEntries(WAYS.map(({ name }) => [`${name}_ms`, { max: OVERHEAD_MS_MAX }])),
  async run(context) {
    const pieces = scaled(context, PIECES, 40);
    const model = await startStampedModel({ piecesPerSecond: PIECES_PER_SECOND, pieces });
    try {
      return await withRig(context, { modelDelayMs: 0, env: { MODEL_BASE_URL: model.url } }, async (rig) => {
        const gateway = await startRigGateway(rig);
        const figures: Record<string, number> = {};
        for (const way of WAYS) {
          await rig.runTurn(`by-${way.name}`, 'warm up');
          figures[`${way.name}_ms`] = await measure(context, gateway, way);
        }
        return figures;
      });
    } finally {
      await model.stop();
    }
  },
};
