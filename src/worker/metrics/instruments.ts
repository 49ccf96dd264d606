/**
 * The worker's metrics by name: docs/operations.md says what each means. Labels are names of ours, from tables of this repository: no
 * user, no turn, no machine, no text of anybody's.
 */
import { Counter, Histogram, type Registry } from 'prom-client';

/** From a step of Postgres to a command of many minutes. */
const WORK_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
/** What a person waits for. */
const WAIT_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300];

export function createInstruments(registry: Registry) {
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> =>
    new Counter({ name: `innkeeper_${name}`, help, labelNames, registers });
  const histogram = <L extends string>(
    name: string,
    help: string,
    { labelNames = [], buckets }: { labelNames?: readonly L[]; buckets: readonly number[] },
  ): Histogram<L> => new Histogram({ name: `innkeeper_${name}`, help, labelNames, buckets: [...buckets], registers });

  return {
    turnQueueSeconds: histogram('turn_queue_seconds', 'From the admission of a turn to its start', {
      buckets: WAIT_SECONDS,
    }),
    turnFirstDeltaSeconds: histogram('turn_first_delta_seconds', 'From the start of a turn to its first live text', {
      buckets: WAIT_SECONDS,
    }),
    turnsEnded: counter('turns_ended_total', 'Turns that ended', ['outcome', 'code']),
    commandsEnded: counter('commands_ended_total', 'Tool calls that have an outcome', ['outcome']),
    commandsUnknown: counter('commands_unknown_total', 'Commands of which nobody can know how they ended', ['reason']),
    activitySeconds: histogram('activity_seconds', 'One attempt of an activity', {
      labelNames: ['activity', 'result'],
      buckets: WORK_SECONDS,
    }),
    activityFailures: counter('activity_failures_total', 'Attempts of activities that failed', ['activity', 'code']),
    wakeSeconds: histogram('wake_seconds', 'From the decision to wake a machine until it is usable, all attempts', {
      buckets: WAIT_SECONDS,
    }),
    providerCalls: counter('provider_calls_total', 'Calls to the machine provider', ['call', 'result']),
    providerSeconds: histogram('provider_call_seconds', 'One call to the machine provider', {
      labelNames: ['call'],
      buckets: WORK_SECONDS,
    }),
    providerConflicts: counter('provider_conflicts_total', 'Requests that came second to another change', ['call']),
    modelCalls: counter('model_calls_total', 'Calls to the model', ['result']),
    modelSeconds: histogram('model_call_seconds', 'One call to the model, its answer included', {
      buckets: WAIT_SECONDS,
    }),
    modelTokens: counter('model_tokens_total', 'Tokens as the model counts them', ['direction']),
    reconcileFindings: counter('reconcile_findings_total', 'Findings of reconciles', ['kind', 'action', 'outcome']),
  };
}
