/**
 * The short steps of Postgres, strictly one after the other, in the order in which they were asked for. Regular activities: a
 * local one's result may reach the lane in a later workflow task than the one that records it, and the lane's history then
 * does not replay (docs/adr/0006).
 */
import { proxyActivities } from '@temporalio/workflow';
import type {
  LaneActivities,
  OpenNextTurnResult,
  OpenTurn,
  RejectedMessage,
  TurnActivities,
} from '../contracts/activities.js';
import type { ErrorCode } from '../contracts/errors.js';
import { storeOptions } from './activity-options.js';

const store = proxyActivities<LaneActivities & Pick<TurnActivities, 'closeTurn'>>(storeOptions);

export interface TurnClose {
  readonly outcome: 'failed' | 'cancelled';
  readonly code: ErrorCode;
  readonly onlySettled?: true;
}

export interface StoreSteps {
  openNextTurn(isContact: boolean): Promise<OpenNextTurnResult>;
  admitPrompt(message: { readonly turnId: string; readonly prompt: string }): Promise<void>;
  recordCancel(turnId: string): Promise<void>;
  recordRejection(message: RejectedMessage): Promise<void>;
  /** Answers `isUnsettled`, and does nothing, where the close is for settled commands only and one is not. */
  closeTurn(turn: OpenTurn, end: TurnClose): Promise<{ readonly isUnsettled?: true }>;
}

export function createStoreSteps(): StoreSteps {
  let last: Promise<unknown> = Promise.resolve();

  /** Runs after whatever was asked for before, however that ended. */
  function inLine<T>(work: () => Promise<T>): Promise<T> {
    const result = last.then(work);
    // Its failure is its caller's; the next in line goes on.
    last = result.catch(() => undefined);
    return result;
  }
  const options = (summary: string): typeof storeOptions & { summary: string } => ({ ...storeOptions, summary });

  return {
    openNextTurn: (isContact) =>
      inLine(() => store.openNextTurn.executeWithOptions(options('open next turn'), [{ isContact }])),
    admitPrompt: (message) =>
      inLine(async () => {
        await store.admitPrompt.executeWithOptions(options('admit a prompt from a signal'), [message]);
      }),
    recordCancel: (turnId) =>
      inLine(() => store.recordCancel.executeWithOptions(options('record a cancel'), [{ turnId }])),
    recordRejection: (message) =>
      inLine(() => store.recordRejection.executeWithOptions(options(`record a refusal: ${message.code}`), [message])),
    closeTurn: ({ turnKey, position }, end) =>
      inLine(() => {
        const summary = `turn ${position} · close: ${end.code}`;
        return store.closeTurn.executeWithOptions(options(summary), [{ turnKey, position, ...end }]);
      }),
  };
}
