/** Findings of the reconciler as a person reads them, one block of lines each. */
import type { FindingKind, ReportedFinding } from '../contracts/reconcile.js';
import { toPlain } from './event-text.js';
import { formatFields } from './table.js';

/** A finding with the user it is about; null for a machine that nobody knows. */
export type ShownFinding = Pick<ReportedFinding, 'kind' | 'subject' | 'action' | 'reason' | 'outcome' | 'code'> & {
  readonly userId: string | null;
};

const SUBJECTS: Readonly<Record<FindingKind, 'machine' | 'turn' | 'lane'>> = {
  unknown_machine: 'machine',
  buried_machine: 'machine',
  machine_gone: 'machine',
  awake_without_reason: 'machine',
  creation_unfinished: 'lane',
  signal_lost: 'turn',
  lane_not_running: 'turn',
  cancel_lost: 'turn',
  destroy_unfinished: 'lane',
};

/** @param more further lines of the block, such as when it was seen */
export function findingText(
  finding: ShownFinding,
  columns: number,
  more: readonly (readonly [string, string])[] = [],
): string {
  const { kind, userId, subject } = finding;
  const fields = [
    ...(userId === null ? [] : [['user', userId] as const]),
    [SUBJECTS[kind], subject] as const,
    ['action', actionText(finding)] as const,
    ...more,
  ];
  const lines = formatFields(fields).split('\n');
  return [kind, ...lines.map((line) => `  ${toPlain(line)}`)].map((line) => fit(line, columns)).join('\n');
}

function actionText({ action, reason, outcome, code }: ShownFinding): string {
  const why = reason === null ? '' : ` (${reason.replaceAll('_', ' ')})`;
  return `${whatWasDone(action, outcome)}${why}${code === null ? '' : `: ${code}`}`;
}

function whatWasDone(action: ShownFinding['action'], outcome: ShownFinding['outcome']): string {
  if (action === 'report') return 'left alone';
  if (action === 'wait') return 'looked at again next time';
  const [would, done, failed] =
    action === 'destroy'
      ? ['would be destroyed', 'destroyed', 'could not be destroyed']
      : [`would tell the lane ${action}`, `told the lane ${action}`, `could not tell the lane ${action}`];
  if (outcome === 'dry_run') return would;
  if (outcome === 'failed') return failed;
  return outcome === 'pending' ? `not known yet: ${action}` : done;
}

/** Whole ids are in the JSON. */
function fit(line: string, columns: number): string {
  const characters = [...line];
  return characters.length > columns ? `${characters.slice(0, columns - 1).join('')}…` : line;
}
