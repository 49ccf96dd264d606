/** `innkeeper usage`: what each user's machines have used, and what that costs at the prices of the settings. */
import type { Command } from 'commander';
import { InnkeeperError } from '../contracts/errors.js';
import { parseUserId } from '../contracts/ids.js';
import { toCostLine, type CostLine } from '../store/cost.js';
import { usage } from '../store/usage.js';
import { print, withCommonOptions, type CommonOptions } from './command.js';
import { deploymentConfig, withStore } from './deployment.js';
import { formatTable, outputColumns, type Column } from './table.js';

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
