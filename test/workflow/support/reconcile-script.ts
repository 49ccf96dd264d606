/**
 * Activities of a reconcile that answer as they are told, page by page, and note what they were asked. An activity of a workflow that
 * no script is for fails.
 */
import { activityInfo } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { ErrorCode } from '../../../src/contracts/errors.js';
import type {
  ProviderPage,
  ProviderPageInput,
  ReconcileActivities,
  ReportedFinding,
  UserPage,
  UserPageInput,
} from '../../../src/contracts/reconcile.js';

type Step = keyof ReconcileActivities;

export class ReconcileScript {
  /** Pages in order, where a cursor is its page's number; a code: that page fails for good. */
  readonly providerPages: (Partial<ProviderPage> | ErrorCode)[] = [{}];
  readonly userPages: (Partial<UserPage> | ErrorCode)[] = [{}];
  /** Codes that the next executions of a step fail with. */
  readonly failures: { readonly step: Step; readonly code: ErrorCode; readonly isRetryable: boolean }[] = [];
  readonly asked: { readonly step: Step; readonly input: unknown }[] = [];

  fail(step: Step, code: ErrorCode, options: { readonly times?: number; readonly isRetryable?: boolean } = {}): void {
    const { times = 1, isRetryable = false } = options;
    for (let left = times; left > 0; left -= 1) this.failures.push({ step, code, isRetryable });
  }

  inputsOf<T>(step: Step): T[] {
    return this.asked.filter((one) => one.step === step).map(({ input }) => input as T);
  }
}

export function createScriptedReconcile(
  scriptOf: (workflowId: string) => ReconcileScript | undefined,
): ReconcileActivities {
  function begin(step: Step, input: unknown): ReconcileScript {
    const script = scriptOf(activityInfo().workflowExecution?.workflowId ?? '');
    if (script === undefined) throw ApplicationFailure.nonRetryable('no script', 'INTERNAL');
    script.asked.push({ step, input });
    const at = script.failures.findIndex((failure) => failure.step === step);
    const [failure] = at < 0 ? [] : script.failures.splice(at, 1);
    if (failure === undefined) return script;
    throw failureOf(failure.code, failure.isRetryable);
  }
  function pageAt<T extends object>(pages: readonly (T | ErrorCode)[], at: number): T | undefined {
    const page = pages[at];
    if (typeof page === 'string') throw failureOf(page, false);
    return page;
  }
  return {
    beginReconcile: async () => {
      begin('beginReconcile', undefined);
      return { startedAtMs: 1_000 };
    },
    reconcileProvider: async (input: ProviderPageInput) => {
      const { providerPages } = begin('reconcileProvider', input);
      const at = Number(input.cursor ?? 0);
      const nextCursor = at + 1 < providerPages.length ? String(at + 1) : null;
      return { nextCursor, machines: 1, destroyed: 0, findings: [], ...pageAt(providerPages, at) };
    },
    reconcileUsers: async (input: UserPageInput) => {
      const { userPages } = begin('reconcileUsers', input);
      const at = Number(input.after || 0);
      const next = at + 1 < userPages.length ? String(at + 1) : null;
      return { next, users: 1, findings: [], ...pageAt(userPages, at) };
    },
    endReconcile: async (input) => {
      begin('endReconcile', input);
      return { resolved: 3 };
    },
  };
}

export function findingOf(subject: string, more: Partial<ReportedFinding> = {}): ReportedFinding {
  const done = { action: 'report', reason: null, outcome: 'none', code: null } as const;
  return { kind: 'unknown_machine', subject, workflowId: null, ...done, ...more };
}

function failureOf(type: ErrorCode, isRetryable: boolean): ApplicationFailure {
  return ApplicationFailure.create({ type, message: `scripted ${type}`, nonRetryable: !isRetryable });
}
