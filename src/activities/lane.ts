/** Activities of the lane itself: Postgres only, a few milliseconds each. */
import type { LaneActivities, LaneSettings } from '../contracts/activities.js';
import { InnkeeperError } from '../contracts/errors.js';
import { parseLaneWorkflowId, parseTurnId, parseUserId } from '../contracts/ids.js';
import { admitTurn, requestCancel } from '../store/admission.js';
import { recordRejection } from '../store/lane.js';
import { openNextTurn } from '../store/next-turn.js';
import type { Store } from '../store/pool.js';
import { findUserByWorkflowId } from '../store/users.js';
import { activity, laneRun, type ActivityLog } from './context.js';

export interface LaneActivityDeps {
  readonly store: Store;
  readonly log: ActivityLog;
  readonly defaults: LaneSettings;
  readonly openTurnsMax: number;
  /** True where workflow ids hold a keyed hash: a user id cannot be read back from them. */
  readonly hidesUserIds: boolean;
}

export function createLaneActivities(deps: LaneActivityDeps): LaneActivities {
  const { store, log } = deps;

  async function userIdOf(workflowId: string): Promise<string> {
    const known = await findUserByWorkflowId(store, workflowId);
    if (known !== undefined) return known.userId;
    const part = deps.hidesUserIds ? undefined : parseLaneWorkflowId(workflowId);
    if (part === undefined) throw new InnkeeperError('USER_UNKNOWN', 'This workflow id belongs to no user.');
    return parseUserId(part);
  }

  return {
    openNextTurn: ({ isContact }) =>
      activity(log, () => openNextTurn(store, { ...laneRun(), isContact, defaults: deps.defaults })),

    admitPrompt: ({ turnId, prompt }) =>
      activity(log, async () => {
        const { workflowId } = laneRun();
        try {
          const userId = await userIdOf(workflowId);
          await admitTurn(store, {
            userId,
            workflowId,
            turnId: parseTurnId(turnId),
            prompt,
            openTurnsMax: deps.openTurnsMax,
          });
          return { refused: null };
        } catch (error) {
          if (!InnkeeperError.is(error) || error.kind !== 'rejected') throw error;
          await recordRejection(store, {
            workflowId,
            signal: 'enqueueTurn',
            turnId,
            code: error.code,
            reason: error.message,
          });
          return { refused: error.code };
        }
      }),

    recordCancel: ({ turnId }) =>
      activity(log, async () => {
        const { workflowId } = laneRun();
        try {
          await requestCancel(store, { userId: await userIdOf(workflowId), turnId });
        } catch (error) {
          if (!InnkeeperError.is(error) || error.kind !== 'rejected') throw error;
          await recordRejection(store, {
            workflowId,
            signal: 'cancelTurn',
            turnId,
            code: error.code,
            reason: error.message,
          });
        }
      }),

    recordRejection: (rejection) =>
      activity(log, () => recordRejection(store, { workflowId: laneRun().workflowId, ...rejection })),
  };
}
