/** `innkeeper findings`: what reconciles have found, and what they did about it. */
import type { Command } from 'commander';
import { listFindings, type FindingView } from '../store/findings.js';
import { print, wholeNumber, withCommonOptions, type CommonOptions } from './command.js';
import { deploymentConfig, withStore } from './deployment.js';
import { findingText } from './finding-text.js';
import { outputColumns, showInstant } from './table.js';

const FINDINGS_DEFAULT = 50;
const FINDINGS_MAX = 10_000;

export function addFindings(program: Command): void {
  withCommonOptions(program.command('findings').description('list what reconciles have found, the newest first'))
    .option('--all', 'also what is over')
    .option('--limit <count>', 'at most this many', wholeNumber(1, FINDINGS_MAX), FINDINGS_DEFAULT)
    .action(async (options: CommonOptions & { readonly all?: true; readonly limit: number }) => {
      const page = { withResolved: options.all === true, limit: options.limit };
      const findings = await withStore(deploymentConfig(options), (store) => listFindings(store, page));
      const columns = outputColumns(process.stdout);
      print({ findings }, options, () =>
        findings.length === 0
          ? 'No findings.'
          : findings.map((finding) => findingText(finding, columns, whenSeen(finding))).join('\n'),
      );
    });
}

function whenSeen({ timesSeen, firstSeenAt, lastSeenAt, resolvedAt }: FindingView): [string, string][] {
  const times = timesSeen === 1 ? 'once' : `${timesSeen} times, first ${showInstant(firstSeenAt)}`;
  return [
    ['seen', `${showInstant(lastSeenAt)} UTC, ${times}`],
    ...(resolvedAt === null ? [] : ([['over', `${showInstant(resolvedAt)} UTC`]] as [string, string][])),
  ];
}
