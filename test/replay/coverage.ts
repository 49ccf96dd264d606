/** What a recorded history exercises, read out of its events; and what all of them together have to exercise. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { LaneActivities, MachineActivities, TurnActivities } from '../../src/contracts/activities.js';
import { LANE_PHASES } from '../../src/contracts/lane-state.js';
import * as messages from '../../src/contracts/messages.js';
import { RECONCILE_WORKFLOW } from '../../src/contracts/ids.js';
import type { ReconcileActivities } from '../../src/contracts/reconcile.js';
import { SEARCH_ATTRIBUTES } from '../../src/contracts/search-attributes.js';
import { PROJECT_ROOT } from '../../src/dev/paths.js';
import { nameOf, summaryOf, textOf, type HistoryEvent } from '../workflow/support/history.js';

/** A name that is missing here, or not of the contract, does not compile. */
const ACTIVITIES: Readonly<Record<keyof (LaneActivities & MachineActivities & TurnActivities), true>> = {
  openNextTurn: true,
  admitPrompt: true,
  recordCancel: true,
  recordRejection: true,
  think: true,
  act: true,
  stopCommand: true,
  closeTurn: true,
  provisionMachine: true,
  bootstrapMachine: true,
  wakeMachine: true,
  sleepMachine: true,
  markMachineLost: true,
  destroyMachine: true,
};

const RECONCILE: Readonly<Record<keyof ReconcileActivities, true>> = {
  beginReconcile: true,
  reconcileProvider: true,
  reconcileUsers: true,
  endReconcile: true,
};

/** Timers of the lane, by their summaries. */
const TIMERS = [
  'turn limit or idle check',
  'idle check',
  'look again after an error',
  'destroy again after an error',
  'store messages again after an error',
  'close again after an error',
  'limit of leaving',
];

/** Ways in which the lane itself closes a turn. */
const CLOSES = [
  'CANCELLED',
  'TURN_DEADLINE_EXCEEDED',
  'TURN_STEPS_EXCEEDED',
  'MACHINE_UNAVAILABLE',
  'MODEL_UNAVAILABLE',
  'USER_DESTROYED',
];

const ENDS = [
  'workflowExecutionCompleted',
  'workflowExecutionContinuedAsNew',
  'workflowExecutionCanceled',
  'workflowExecutionTerminated',
];

/** Everything that must be covered, one line each. */
export function requiredCoverage(): string[] {
  const signals = Object.values(messages).flatMap((message) =>
    typeof message === 'object' && message.type === 'signal' ? message.name : [],
  );
  return [
    ...LANE_PHASES.map((phase) => `phase ${phase}`),
    ...signals.map((name) => `signal ${name}`),
    ...Object.keys(ACTIVITIES).map((name) => `activity ${name}`),
    ...Object.keys(ACTIVITIES).map((name) => `failed ${name}`),
    ...Object.keys({ ...ACTIVITIES, ...RECONCILE }).map((name) => `retried ${name}`),
    ...['act', 'bootstrapMachine', 'wakeMachine'].map((name) => `cancelled ${name}`),
    ...TIMERS.map((summary) => `timer ${summary}`),
    ...CLOSES.map((code) => `close ${code}`),
    ...ENDS.map((end) => `end ${end}`),
    ...patchesOf(join(PROJECT_ROOT, 'src', 'workflows')).map((patch) => `patch ${patch}`),
    'start with a carry',
    'start without a carry',
    'start with garbage',
    'continued in mid turn',
    'cancel request',
    'reset',
    'opened by its first step',
    'announced and not next',
    'closed once it was settled again',
    'conflict',
    'replaced',
    'undecodable payload',
    ...reconcileCoverage(),
  ].sort();
}

function reconcileCoverage(): string[] {
  const steps = Object.keys(RECONCILE);
  return [
    ...steps.map((name) => `activity ${name}`),
    'failed reconcileProvider',
    'failed reconcileUsers',
    'reconcile start',
    'reconcile start without an argument',
    'reconcile start in the middle',
    'reconcile dry run',
    'reconcile end workflowExecutionCompleted',
    'reconcile end workflowExecutionContinuedAsNew',
    'reconcile end workflowExecutionFailed',
    'reconcile without a whole list',
  ];
}

/** Type of the workflow that a history is of. */
export function workflowOf(events: readonly HistoryEvent[]): string {
  return events[0]?.workflowExecutionStartedEventAttributes?.workflowType?.name ?? '';
}

/** Ids of the patch markers in workflow code, old branches included. */
function patchesOf(folder: string): string[] {
  const sources = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'));
  return sources.flatMap((source) =>
    [...source.matchAll(/(?:patched|deprecatePatch)\(\s*'([^']+)'/g)].map((match) => match[1] ?? ''),
  );
}

/** Reads what one run's history covers. */
export function coverageOf(events: readonly HistoryEvent[]): string[] {
  const covers = new Set<string>();
  const scheduled = new Map<string, string>();
  const lines = workflowOf(events) === RECONCILE_WORKFLOW ? reconcileLines : linesOf;
  for (const event of events) {
    for (const line of [...lines(event), ...activityLines(event, scheduled)]) covers.add(line);
  }
  return [...covers].sort();
}

function linesOf(event: HistoryEvent): string[] {
  const name = nameOf(event);
  const summary = summaryOf(event) ?? '';
  switch (name) {
    case 'workflowExecutionStarted':
      return [startOf(event)];
    case 'workflowExecutionSignaled':
      return signalLines(event);
    case 'timerStarted':
      return [`timer ${summary.replace(/^turn \d+ · /, '')}`];
    case 'upsertWorkflowSearchAttributes':
      return phaseLines(event);
    case 'markerRecorded':
      return markerLines(event);
    case 'workflowExecutionCancelRequested':
      return ['cancel request'];
    case 'workflowExecutionContinuedAsNew': {
      const carry = textOf(event.workflowExecutionContinuedAsNewEventAttributes?.input);
      return [`end ${name}`, ...(carry.includes('"mustLook":true') ? ['continued in mid turn'] : [])];
    }
    case 'workflowTaskFailed':
      return event.workflowTaskFailedEventAttributes?.newRunId ? ['reset'] : [];
    default:
      return ENDS.includes(name) ? [`end ${name}`] : [];
  }
}

function reconcileLines(event: HistoryEvent): string[] {
  const name = nameOf(event);
  if (name === 'workflowExecutionStarted') {
    const input = textOf(event.workflowExecutionStartedEventAttributes?.input?.payloads?.map(({ data }) => data) ?? []);
    if (input === '') return ['reconcile start without an argument'];
    return [
      input.includes('"progress"') ? 'reconcile start in the middle' : 'reconcile start',
      ...(input.includes('"isDryRun":true') ? ['reconcile dry run'] : []),
    ];
  }
  const input = event.activityTaskScheduledEventAttributes?.input;
  if (textOf(input).includes('"isListingWhole":false')) return ['reconcile without a whole list'];
  return /^workflowExecution(Completed|ContinuedAsNew|Failed)$/.test(name) ? [`reconcile end ${name}`] : [];
}

function startOf(event: HistoryEvent): string {
  const { input, continuedExecutionRunId } = event.workflowExecutionStartedEventAttributes ?? {};
  if (continuedExecutionRunId) return 'start with a carry';
  return (input?.payloads ?? []).length > 0 ? 'start with garbage' : 'start without a carry';
}

function signalLines(event: HistoryEvent): string[] {
  const { signalName, input } = event.workflowExecutionSignaledEventAttributes ?? {};
  const payload = input?.payloads?.[0];
  const isUndecodable = payload && textOf(payload.metadata?.['encoding']) === 'binary/unknown';
  return [`signal ${signalName ?? ''}`, ...(isUndecodable ? ['undecodable payload'] : [])];
}

function phaseLines(event: HistoryEvent): string[] {
  const { indexedFields } = event.upsertWorkflowSearchAttributesEventAttributes?.searchAttributes ?? {};
  const phase = indexedFields?.[SEARCH_ATTRIBUTES.phase.name];
  return phase ? [`phase ${JSON.parse(textOf(phase.data)) as string}`] : [];
}

function markerLines(event: HistoryEvent): string[] {
  const { markerName, details } = event.markerRecordedEventAttributes ?? {};
  // A local activity leaves one too, and must not be there (docs/adr/0006).
  if (markerName !== 'core_patch') return [`marker ${markerName ?? ''}`];
  const { id } = JSON.parse(textOf(details?.['patch-data']?.payloads?.[0]?.data)) as { id: string };
  return [`patch ${id}`];
}

/** `scheduled`: what each event scheduled, by its id; with the code that a turn is to be closed with. */
function activityLines(event: HistoryEvent, scheduled: Map<string, string>): string[] {
  const type = event.activityTaskScheduledEventAttributes?.activityType?.name;
  const isReplacement = type === 'provisionMachine' && [...scheduled.values()].includes('markMachineLost');
  if (type) scheduled.set(String(event.eventId), type);
  const close = type && / · close: (\w+)$/.exec(summaryOf(event) ?? '')?.[1];
  if (close) scheduled.set(`close ${String(event.eventId)}`, close);
  const { scheduledEventId: done } = event.activityTaskCompletedEventAttributes ?? {};
  const { scheduledEventId: failed } = event.activityTaskFailedEventAttributes ?? {};
  const { scheduledEventId: started, attempt, lastFailure } = event.activityTaskStartedEventAttributes ?? {};
  const { scheduledEventId: cancelled } = event.activityTaskCanceledEventAttributes ?? {};
  const nameAt = (id: unknown): string => scheduled.get(String(id)) ?? '';
  const result = textOf(event.activityTaskCompletedEventAttributes?.result?.payloads?.[0]?.data);
  return [
    ...(isReplacement ? ['replaced'] : []),
    ...(lastFailure?.applicationFailureInfo?.type === 'REVISION_CONFLICT' ? ['conflict'] : []),
    ...(result.includes('"opened":') ? ['opened by its first step'] : []),
    ...(result.includes('"kind":"not_next"') ? ['announced and not next'] : []),
    ...(result.includes('"isUnsettled":true') ? ['closed once it was settled again'] : []),
    ...(done && scheduled.has(`close ${String(done)}`) ? [`close ${nameAt(`close ${String(done)}`)}`] : []),
    ...(done ? [`activity ${nameAt(done)}`] : []),
    ...(started && Number(attempt) > 1 ? [`retried ${nameAt(started)}`] : []),
    ...(failed ? [`failed ${nameAt(failed)}`] : []),
    ...(cancelled ? [`cancelled ${nameAt(cancelled)}`] : []),
  ];
}
