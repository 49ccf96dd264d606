/** `innkeeper usage`: what each user's machines have used, and what that costs at the prices of the settings. */
import type { Command } from 'commander';
import { InnkeeperError } from '../contracts/errors.js';
import { parseUserId } from '../contracts/ids.js';
import { usage, type UserUsage } from '../store/usage.js';
import { print, withCommonOptions, type CommonOptions } from './command.js';
import { deploymentConfig, withStore } from './deployment.js';
import { formatTable, outputColumns, type Column } from './table.js';

const SECONDS_PER_HOUR = 3_600;
/** A month as the vendor counts it is not documented; this is the usual 730 hours. */
const SECONDS_PER_MONTH = 730 * SECONDS_PER_HOUR;

export interface CostLine {
  readonly userId: string;
  readonly awakeSeconds: number;
  readonly vcpuHours: number;
  readonly gibMonths: number;
  /** null: a price is not set. */
  readonly cost: number | null;
}

/** Adds prices to what was measured. */
export function toCostLine(
  used: UserUsage,
  prices: { readonly vcpuHour: number | undefined; readonly gibMonth: number | undefined },
): CostLine {
  const vcpuHours = used.vcpuSeconds / SECONDS_PER_HOUR;
  const gibMonths = used.gibSeconds / SECONDS_PER_MONTH;
  const { vcpuHour, gibMonth } = prices;
  const cost = vcpuHour === undefined || gibMonth === undefined ? null : vcpuHours * vcpuHour + gibMonths * gibMonth;
  return { userId: used.userId, awakeSeconds: used.awakeSeconds, vcpuHours, gibMonths, cost };
}

const COLUMNS: readonly Column<CostLine>[] = [
  { title: 'USER', show: (line) => line.userId },
  { title: 'AWAKE S', align: 'right', show: (line) => line.awakeSeconds.toFixed(0) },
  { title: 'VCPU-H', align: 'right', show: (line) => line.vcpuHours.toFixed(4) },
  { title: 'GIB-MONTHS', align: 'right', show: (line) => line.gibMonths.toFixed(4) },
  { title: 'COST', align: 'right', show: (line) => line.cost?.toFixed(4) ?? '-' },
];

export function addUsage(program: Command): void {
  withCommonOptions(program.command('usage').description('what the machines have used, and what it costs'))
    .option('--user <id>', 'only this user')
    .option('--at <instant>', 'up to this instant, ISO 8601; default now')
    .action(async (options: CommonOptions & { readonly user?: string; readonly at?: string }) => {
      const userId = options.user === undefined ? undefined : parseUserId(options.user);
      const at = options.at === undefined ? new Date() : parseInstant(options.at);
      const config = deploymentConfig(options);
      const lines = (await withStore(config, (store) => usage(store, { userId, at }))).map((used) =>
        toCostLine(used, config.prices),
      );
      print({ at: at.toISOString(), prices: config.prices, users: lines }, options, () => {
        const table = formatTable(lines, COLUMNS, outputColumns(process.stdout));
        const hint = 'Set PRICE_VCPU_HOUR and PRICE_GIB_MONTH to see costs.';
        return lines.some(({ cost }) => cost === null) ? `${table}\n${hint}` : table;
      });
    });
}

function parseInstant(text: string): Date {
  const instant = new Date(text);
  if (Number.isNaN(instant.getTime())) throw new InnkeeperError('INVALID_INPUT', '--at must be an ISO 8601 instant.');
  return instant;
}
