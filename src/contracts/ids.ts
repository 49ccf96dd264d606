/** Builds and checks ids; no other file spells one. Pure: loads in the workflow sandbox, in Node and in a browser. */
import { InnkeeperError } from './errors.js';
import { ID_BYTES_MAX } from './limits.js';

/** Workflow type of a lane. */
export const USER_MACHINE_WORKFLOW = 'userMachine';
/** Workflow type of the reconciler. */
export const RECONCILE_WORKFLOW = 'reconcile';
/** The one task queue of workflows and activities: sharing it lets activities start eagerly. */
export const TASK_QUEUE_DEFAULT = 'innkeeper';

const LANE_PREFIX = 'user-machine/';

/** Bytes of `text` in UTF-8, without TextEncoder (the workflow sandbox has none in every version). */
export function utf8Bytes(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return bytes;
}

function idProblem(id: unknown): string | undefined {
  if (typeof id !== 'string') return 'must be text';
  if (id.length === 0) return 'must not be empty';
  if (utf8Bytes(id) > ID_BYTES_MAX) return `must be at most ${ID_BYTES_MAX} bytes of UTF-8`;
  // eslint-disable-next-line no-control-regex -- control characters are what is refused
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/u.test(id)) return 'must not contain control characters';
  if (/[/%]/u.test(id)) return 'must not contain "/" or "%"';
  if (/\p{Cs}/u.test(id)) return 'must be well-formed Unicode';
  if (id === '.' || id === '..') return 'must not be "." or ".."';
  if (id.trim() !== id) return 'must not begin or end with white space';
  return undefined;
}

/** Returns the user id. @throws InnkeeperError INVALID_USER_ID */
export function parseUserId(id: unknown): string {
  const problem = idProblem(id);
  if (problem !== undefined) throw new InnkeeperError('INVALID_USER_ID', `The user id ${problem}.`);
  return id as string;
}

/** Returns the turn id. @throws InnkeeperError INVALID_TURN_ID */
export function parseTurnId(id: unknown): string {
  const problem = idProblem(id);
  if (problem !== undefined) throw new InnkeeperError('INVALID_TURN_ID', `The turn id ${problem}.`);
  return id as string;
}

/** Turn id of a request that brought none: `digest` names the request, `n` counts from 0 the turns that it made one after the other. */
export function requestTurnId({ digest, n }: { digest: string; n: number | '' }): string {
  return `req-${digest}.${n}`;
}

/** Workflow id of a user's lane. `part` is the user id, or its keyed hash where the deployment hides user ids. */
export function laneWorkflowId(part: string): string {
  return LANE_PREFIX + encodeURIComponent(part);
}

/** The part of a lane's workflow id that names the user (plain or hashed); undefined where it is not a lane's id. */
export function parseLaneWorkflowId(workflowId: string): string | undefined {
  if (!workflowId.startsWith(LANE_PREFIX)) return undefined;
  try {
    return decodeURIComponent(workflowId.slice(LANE_PREFIX.length));
  } catch {
    return undefined; // A malformed escape is simply not an id of ours.
  }
}

/** Id of the schedule that starts reconciles: one for each deployment, which its task queue names. */
export function reconcileScheduleId(taskQueue: string): string {
  return `reconcile/${encodeURIComponent(taskQueue)}`;
}

/** Workflow id of a reconcile; the schedule adds the time of its start, others something of their own. */
export function reconcileWorkflowId(taskQueue: string, own?: string): string {
  return reconcileScheduleId(taskQueue) + (own === undefined ? '' : `/${own}`);
}

/** Command id of a tool call: derived, so that every attempt names the same command. `turnKey` is the turn's row key. */
export function commandId(call: { turnKey: string; step: number; index: number }): string {
  return `${call.turnKey}-${call.step}-${call.index}`;
}
