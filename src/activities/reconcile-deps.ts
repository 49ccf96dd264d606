/** What the reconciler's activities are made from, and what they share. */
import type { Lanes } from '../contracts/lanes.js';
import type { Decision, FindingOutcome, ReconcileRef, ReportedFinding } from '../contracts/reconcile.js';
import { InnkeeperError, type ErrorCode } from '../contracts/errors.js';
import type { Machine, MachineProvider } from '../machines/provider.js';
import { noteFinding, peekFinding, settleFinding, type FindingSubject, type NotedFinding } from '../store/findings.js';
import type { Store } from '../store/pool.js';
import type { ActivityLog } from './context.js';
import { toLogged } from './failure.js';
import { assertHeard } from './heartbeat.js';
import type { PollSettings } from './machine-polls.js';
import type { Seen, UnknownSettings } from './reconcile-compare.js';

export interface ReconcileDeps {
  readonly store: Store;
  readonly machines: MachineProvider;
  readonly lanes: Lanes;
  readonly polls: PollSettings;
  readonly reconcile: UnknownSettings & { readonly quietMs: number; readonly idleMs: number };
  readonly newKey: () => string;
  readonly log: ActivityLog;
}

export function toSeen({ phase, desiredState }: Pick<Machine, 'phase' | 'desiredState'>): Seen {
  return { phase, isEnding: desiredState === 'destroyed' || phase === 'destroying' || phase === 'destroyed' };
}

/**
 * Records a finding, has it decided and acted upon, and records what came of it. In a dry run it is only looked up, and nothing
 * is done. What fails with a code of ours is recorded as such: the next reconcile tries again.
 */
export async function handleFinding(
  { store, log }: ReconcileDeps,
  { reconcileId, isDryRun }: ReconcileRef,
  subject: FindingSubject,
  how: {
    decide(noted: NotedFinding): Decision | Promise<Decision>;
    act(decision: Decision, noted: NotedFinding): Promise<void>;
  },
): Promise<ReportedFinding> {
  const noted = isDryRun ? await peekFinding(store, subject) : await noteFinding(store, { ...subject, reconcileId });
  const decision = await how.decide(noted);
  const { action } = decision;
  const record = async (
    outcome: Exclude<FindingOutcome, 'dry_run'>,
    code: ErrorCode | null,
  ): Promise<ReportedFinding> => {
    if (noted.findingId !== undefined && !isDryRun) {
      await settleFinding(store, { ...decision, findingId: noted.findingId, outcome, code });
    }
    return { ...subject, ...decision, outcome, code };
  };

  if (action === 'report' || action === 'wait') return record('none', null);
  if (isDryRun) return { ...subject, ...decision, outcome: 'dry_run', code: null };
  // What is about to be done is on record before: whoever dies meanwhile has said so.
  await record('pending', null);
  // An attempt that was frozen may have a successor, which decides by what it sees.
  assertHeard();
  try {
    await how.act(decision, noted);
  } catch (error) {
    if (!InnkeeperError.is(error)) throw error;
    const { code } = error;
    log.warn({ ...subject, action, code, err: toLogged(error) }, 'a finding could not be acted upon');
    return record('failed', code);
  }
  log.info({ ...subject, action }, 'a finding was acted upon');
  return record('done', null);
}

/** Does something for each item, at most `parallelMax` at a time; the answers in order of the items. */
export async function inParallel<T, R>(
  items: readonly T[],
  parallelMax: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const waiting = items.entries();
  async function takeAll(): Promise<void> {
    for (const [index, item] of waiting) results[index] = await work(item);
  }
  await Promise.all(Array.from({ length: Math.min(parallelMax, items.length) }, takeAll));
  return results;
}
