/**
 * What a worker counts: the one port that the watchers of its parts speak to. A figure that cannot be taken is lost, and nothing else:
 * no method throws.
 */
import { Registry } from 'prom-client';
import type { ErrorCode } from '../../contracts/errors.js';
import { TIMED_TURNS_MAX } from '../../contracts/limits.js';
import type { ReportedFinding } from '../../contracts/reconcile.js';
import type { TokenUsage } from '../../model/chat-model.js';
import type { CommittedTurns } from '../../store/pool.js';
import { createInstruments } from './instruments.js';

export type Result = 'ok' | ErrorCode;

export interface Figures {
  readonly registry: Registry;
  /** A transaction was committed that did this to turns. */
  committed(turns: CommittedTurns): void;
  /** Live text of a turn was stored. */
  told(turnKey: string): void;
  activityEnded(end: { readonly activity: string; readonly result: Result; readonly seconds: number }): void;
  woken(seconds: number): void;
  providerCalled(call: { readonly call: string; readonly result: Result; readonly seconds: number }): void;
  modelCalled(call: { readonly result: Result; readonly seconds: number; readonly usage?: TokenUsage }): void;
  found(findings: readonly ReportedFinding[]): void;
}

/** The request was not done because something else had changed the machine first. */
const CONFLICTS: ReadonlySet<Result> = new Set(['REVISION_CONFLICT', 'MACHINE_INVALID_STATE']);

/** @param now ms of a clock that only goes on */
export function createFigures(now: () => number = () => performance.now()): Figures {
  const registry = new Registry();
  const instruments = createInstruments(registry);
  /** Turns that began here and have said nothing yet, with the instant; oldest first. */
  const silent = new Map<string, number>();

  function began(turnKey: string, waitedMs: number): void {
    instruments.turnQueueSeconds.observe(Math.max(0, waitedMs) / 1_000);
    silent.set(turnKey, now());
    for (const [oldest] of silent) {
      if (silent.size <= TIMED_TURNS_MAX) break;
      silent.delete(oldest);
    }
  }

  return {
    registry,
    committed: quietly(({ startedTurns, settledCalls, endedTurns }) => {
      for (const { turnKey, waitedMs } of startedTurns) began(turnKey, waitedMs);
      for (const { outcome, reason } of settledCalls) {
        instruments.commandsEnded.inc({ outcome });
        if (outcome === 'unknown') instruments.commandsUnknown.inc({ reason: reason ?? 'none' });
      }
      for (const { turnKey, outcome, code } of endedTurns) {
        instruments.turnsEnded.inc({ outcome, code: code ?? 'none' });
        silent.delete(turnKey);
      }
    }),
    told: quietly((turnKey) => {
      const beganAt = silent.get(turnKey);
      if (beganAt === undefined) return;
      silent.delete(turnKey);
      instruments.turnFirstDeltaSeconds.observe((now() - beganAt) / 1_000);
    }),
    activityEnded: quietly(({ activity, result, seconds }) => {
      const kind = result === 'ok' ? 'ok' : result === 'CANCELLED' ? 'cancelled' : 'failed';
      instruments.activitySeconds.observe({ activity, result: kind }, seconds);
      if (kind === 'failed') instruments.activityFailures.inc({ activity, code: result });
    }),
    woken: quietly((seconds) => instruments.wakeSeconds.observe(Math.max(0, seconds))),
    providerCalled: quietly(({ call, result, seconds }) => {
      instruments.providerCalls.inc({ call, result });
      instruments.providerSeconds.observe({ call }, seconds);
      if (CONFLICTS.has(result)) instruments.providerConflicts.inc({ call });
    }),
    modelCalled: quietly(({ result, seconds, usage }) => {
      instruments.modelCalls.inc({ result });
      instruments.modelSeconds.observe(seconds);
      if (usage === undefined) return;
      instruments.modelTokens.inc({ direction: 'input' }, usage.inputTokens);
      instruments.modelTokens.inc({ direction: 'output' }, usage.outputTokens);
    }),
    found: quietly((findings) => {
      for (const { kind, action, outcome } of findings) instruments.reconcileFindings.inc({ kind, action, outcome });
    }),
  };
}

/** What is thrown while a figure is taken goes no further. */
export function quietly<A extends unknown[]>(take: (...args: A) => void): (...args: A) => void {
  return (...args) => {
    try {
      take(...args);
    } catch {
      // Such as a negative count of tokens, from outside: the figure is left out.
    }
  };
}
