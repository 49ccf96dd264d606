/** Requests that change a machine: If-Match with the revision as read, and the idempotency key that is stored for just that. */
import { InnkeeperError } from '../contracts/errors.js';
import type { Machine, RevisionOptions } from '../machines/provider.js';
import { requestKey, settleRequest } from '../store/machine-requests.js';
import type { Store } from '../store/pool.js';
import { cancellationSignal, laneRun } from './context.js';

export interface RevisionRequest {
  readonly kind: 'wake' | 'sleep' | 'destroy';
  readonly generation: number;
  readonly machine: Machine;
}

/**
 * Sends one such request. A repeat after a lost answer finds the same revision and sends the same key; after a conflict the
 * machine is read again by the next attempt, whose other revision makes it another request with a key of its own.
 */
export async function withRevision<T>(
  { store, newKey }: { store: Store; newKey: () => string },
  { kind, generation, machine }: RevisionRequest,
  send: (options: RevisionOptions) => Promise<T>,
): Promise<T> {
  const ifMatch = machine.revision;
  const run = laneRun();
  const { key } = await requestKey(store, { ...run, generation, kind, ifMatch, newKey });
  try {
    const answer = await send({ idempotencyKey: key, ifMatch, signal: cancellationSignal() });
    await settleRequest(store, { ...run, key });
    return answer;
  } catch (error) {
    // Answered for good: a repeat is a new request, even if the revision has not moved.
    if (InnkeeperError.is(error) && isAnswered(error)) await settleRequest(store, { ...run, key });
    throw error;
  }
}

/**
 * The goal is reached without a request: one whose answer was lost is over. Where there are revisions the next request is another
 * one anyway; where there are none it would be taken for a repeat of the lost one, and not be done.
 */
export async function settleLost(
  { store, newKey }: { store: Store; newKey: () => string },
  { kind, generation, machine }: RevisionRequest,
): Promise<void> {
  if (machine.revision !== undefined) return;
  const run = laneRun();
  const { key } = await requestKey(store, { ...run, generation, kind, ifMatch: undefined, newKey });
  await settleRequest(store, { ...run, key });
}

function isAnswered(error: InnkeeperError): boolean {
  return (
    error.code === 'REVISION_CONFLICT' ||
    error.code === 'MACHINE_INVALID_STATE' ||
    error.code === 'PROVIDER_REFUSED' ||
    error.code === 'PROVIDER_KEY_REUSED'
  );
}
