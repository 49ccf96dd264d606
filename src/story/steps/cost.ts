/** Step 9: what it all costs, by our metering and by the provider's ledger. */
import { toCostLine, type CostLine, type Prices } from '../../store/cost.js';
import { usage } from '../../store/usage.js';
import { awakeIntervals } from '../record/provider-record.js';
import type { Step } from '../step.js';
import { machineOf, type Story } from '../story-context.js';
import { waitUntil } from '../wait-until.js';

/** Shown where the settings name no price: somebody has to see a figure. */
const EXAMPLE_PRICES = { vcpuHour: 0.05, gibMonth: 0.1 };
/** Our metering may differ from the provider's by this much of it. */
const TOLERANCE = 0.01;
const SECONDS_PER_HOUR = 3_600;
/** Of the table: it fits beside the margin of a terminal of 60 columns. */
const NAME_COLUMNS = 14;
const FIGURE_COLUMNS = 10;

export const costs: Step<Story> = {
  number: 9,
  title: 'What it costs',
  async run(story, journal) {
    const { client, database, provider, users } = story;
    for (const userId of Object.values(users)) await client.sleepNow({ userId });
    for (const userId of Object.values(users)) {
      await waitUntil(`${userId} sleeps`, async () => (await database.machine(userId))?.phase === 'asleep');
    }
    const { prices: set } = story.config;
    const prices: Prices = {
      vcpuHour: set.vcpuHour ?? EXAMPLE_PRICES.vcpuHour,
      gibMonth: set.gibMonth ?? EXAMPLE_PRICES.gibMonth,
    };
    const isExample = set.vcpuHour === undefined || set.gibMonth === undefined;
    const nowMs = await provider.nowMs();
    const ledger = await provider.ledger(0);
    const lines: CostLine[] = [];
    for (const userId of Object.values(users)) {
      const [used] = await usage(story.store, { userId, at: new Date(nowMs) });
      if (used === undefined) throw new Error(`There is no usage of ${userId}.`);
      const line = toCostLine(used, prices);
      lines.push(line);
      const { machineId } = await machineOf(story, userId);
      const intervals = awakeIntervals(ledger, machineId, nowMs);
      const awakeSeconds = intervals.reduce((sum, { fromMs, untilMs }) => sum + (untilMs - fromMs) / 1_000, 0);
      const created = ledger.find((entry) => entry.kind === 'machine.created' && entry.machineId === machineId);
      const theirs = { awakeSeconds, vcpuHours: (awakeSeconds * Number(created?.['vcpu'])) / SECONDS_PER_HOUR };
      const isEqual = isWithin(line.awakeSeconds, theirs.awakeSeconds) && isWithin(line.vcpuHours, theirs.vcpuHours);
      journal.check(`${userId}: ${line.awakeSeconds.toFixed(1)} s awake, as the ledger has it`, 'provider', isEqual, {
        ours: { awakeSeconds: line.awakeSeconds, vcpuHours: line.vcpuHours },
        theirs,
        intervals: intervals.length,
      });
    }
    const arePriced = lines.every(({ cost }) => cost !== null && cost > 0);
    journal.check('each has a price', 'postgres', arePriced, { prices, lines });
    for (const row of table(lines)) journal.show(row);
    const source = isExample ? 'example prices; set PRICE_VCPU_HOUR, PRICE_GIB_MONTH' : 'prices of the settings';
    journal.note(`${prices.vcpuHour} a vCPU-hour, ${prices.gibMonth} a GiB-month (${source}).`);
  },
};

function isWithin(ours: number, theirs: number): boolean {
  return theirs > 0 && Math.abs(ours - theirs) <= theirs * TOLERANCE;
}

function table(lines: readonly CostLine[]): string[] {
  const row = ([user = '', ...figures]: readonly string[]): string =>
    user.padEnd(NAME_COLUMNS) + figures.map((figure) => figure.padStart(FIGURE_COLUMNS)).join('');
  return [
    row(['user', 'awake s', 'vCPU-h', 'GiB-mon', 'cost']),
    ...lines.map((line) =>
      row([
        line.userId,
        line.awakeSeconds.toFixed(1),
        line.vcpuHours.toFixed(5),
        line.gibMonths.toFixed(4),
        line.cost?.toFixed(5) ?? '-',
      ]),
    ),
  ];
}
