/** `innkeeper reconcile`: has a worker reconcile now, and prints what was found. */
import type { Command } from 'commander';
import type { ClientConfig } from '../config.js';
import type { ReconcileReport } from '../contracts/reconcile.js';
import { userIdsOf } from '../store/reconcile.js';
import { print, withCommonOptions, type CommonOptions } from './command.js';
import { deploymentConfig, withStore } from './deployment.js';
import { findingText, type ShownFinding } from './finding-text.js';
import { outputColumns } from './table.js';
import { withTemporal } from './temporal.js';

type ShownReport = Omit<ReconcileReport, 'findings'> & { readonly findings: readonly ShownFinding[] };

export function addReconcile(program: Command): void {
  withCommonOptions(program.command('reconcile').description('compare provider, ledger, record and lanes now'))
    .option('--dry-run', 'only say what would be done')
    .action(async (options: CommonOptions & { readonly dryRun?: true }) => {
      const { reconcileNow } = await import('./reconcile-now.js');
      const config = deploymentConfig(options);
      const isDryRun = options.dryRun === true;
      const report = await withTemporal(config, (connection) => reconcileNow(connection, config, { isDryRun }));
      const shown = await withUserIds(config, report);
      print(shown, options, () => toText(shown, outputColumns(process.stdout)));
      if (report.listing !== 'whole') process.exitCode = 1;
    });
}

/** Users by their own ids: in Temporal they go by their lanes'. */
async function withUserIds(config: ClientConfig, report: ReconcileReport): Promise<ShownReport> {
  const lanes = report.findings.flatMap(({ workflowId }) => (workflowId === null ? [] : [workflowId]));
  const userIds = lanes.length === 0 ? new Map() : await withStore(config, (store) => userIdsOf(store, lanes));
  const userIdOf = (workflowId: string | null): string | null =>
    workflowId === null ? null : ((userIds.get(workflowId) as string | undefined) ?? null);
  return {
    ...report,
    findings: report.findings.map((finding) => ({ ...finding, userId: userIdOf(finding.workflowId) })),
  };
}

function toText(report: ShownReport, columns: number): string {
  const { isDryRun, listing, machines, users, resolved, findings, findingCount } = report;
  const hidden = findingCount - findings.length;
  return [
    `${machines} machines of the provider and ${users} users compared.`,
    ...(isDryRun ? ['Dry run: nothing is changed, nobody is told.'] : []),
    ...(listing === 'whole'
      ? []
      : [`The provider's list cannot be had: ${listing}.`, 'So nothing is said of machines.']),
    ...(resolved === 0 ? [] : [`${resolved} earlier ${resolved === 1 ? 'finding is' : 'findings are'} over.`]),
    findingCount === 0 ? 'No findings.' : `${findingCount} ${findingCount === 1 ? 'finding' : 'findings'}:`,
    ...findings.map((finding) => findingText(finding, columns)),
    ...(hidden === 0 ? [] : [`… and ${hidden} more: see innkeeper findings.`]),
  ].join('\n');
}
