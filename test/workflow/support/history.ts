/** Reads what the server recorded of a run. */
import type { Client, WorkflowHandle } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';

export type HistoryEvent = NonNullable<Awaited<ReturnType<WorkflowHandle['fetchHistory']>>['events']>[number];

/** WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND: the server's way of handing one more signal to a run that wants to end. */
const UNHANDLED_COMMAND = 1;
/** WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND: the run was terminated while a worker had its task. */
const FORCE_CLOSE_COMMAND = 17;
/** WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW: where an operator cut a run, and another one goes on. */
const RESET = 20;
const NOT_OURS: readonly number[] = [UNHANDLED_COMMAND, FORCE_CLOSE_COMMAND, RESET];
const SUFFIX = 'EventAttributes';

export async function readHistory(client: Client, workflowId: string, runId?: string): Promise<HistoryEvent[]> {
  const { events } = await client.workflow.getHandle(workflowId, runId).fetchHistory();
  return events ?? [];
}

/** The event's type as its attributes are named: `timerStarted`, `activityTaskScheduled`, … */
export function nameOf(event: HistoryEvent): string {
  const field = Object.entries(event).find(([key, value]) => key.endsWith(SUFFIX) && value !== null)?.[0];
  return field?.slice(0, -SUFFIX.length) ?? 'unknown';
}

export function ofType(events: readonly HistoryEvent[], name: string): HistoryEvent[] {
  return events.filter((event) => nameOf(event) === name);
}

export function count(events: readonly HistoryEvent[], name: string): number {
  return ofType(events, name).length;
}

/** Types of the regular activities that a run scheduled, in order. */
export function scheduledActivities(events: readonly HistoryEvent[]): string[] {
  return events.flatMap(({ activityTaskScheduledEventAttributes: scheduled }) => scheduled?.activityType?.name ?? []);
}

const STORE_STEPS: ReadonlySet<string> = new Set([
  'openNextTurn',
  'admitPrompt',
  'recordCancel',
  'recordRejection',
  'closeTurn',
]);

/** Without the short steps of Postgres: what reaches the model or the machine. */
export function scheduledEffects(events: readonly HistoryEvent[]): string[] {
  return scheduledActivities(events).filter((name) => !STORE_STEPS.has(name));
}

/** The summary that an operator reads beside an event; undefined: it has none. */
export function summaryOf(event: HistoryEvent): string | undefined {
  const payload = event.userMetadata?.summary;
  return payload ? defaultPayloadConverter.fromPayload<string>(payload) : undefined;
}

/** Workflow tasks that failed for a reason of ours. */
export function failedTasks(events: readonly HistoryEvent[]): string[] {
  return events
    .flatMap(({ workflowTaskFailedEventAttributes: failed }) => failed ?? [])
    .filter(({ cause }) => !NOT_OURS.includes(Number(cause)))
    .map(({ cause, failure }) => `cause ${cause}: ${failure?.message ?? ''}`);
}

/** Everything that events hold, payloads as the text that their bytes are. */
export function textOf(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.values(value).map(textOf).join(' ');
}
