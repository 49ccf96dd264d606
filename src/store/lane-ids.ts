/** User id -> workflow id of the lane; plain, or a keyed hash where the deployment hides user ids from Temporal. */
import { createHmac } from 'node:crypto';
import { laneWorkflowId } from '../contracts/ids.js';

/** @param key of the deployment; undefined: the plain, percent-encoded user id */
export function workflowIdOf(userId: string, key: string | undefined): string {
  return laneWorkflowId(key === undefined ? userId : createHmac('sha256', key).update(userId, 'utf8').digest('hex'));
}
