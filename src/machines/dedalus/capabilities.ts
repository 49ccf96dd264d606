/**
 * What the API on the other side offers: autosleep in requests (from g3 on), terminals (up to g5), memory autoresizing (g6).
 * Only ever asked for by requests that change nothing.
 */
import type { Machine } from '../provider.js';
import { mayLackRoute, toProviderError } from './errors.js';
import { isRecord, type ApiFailure, type Transport } from './transport.js';

/** A machine that cannot exist; spelled so that every generation's id pattern accepts it. */
const NO_MACHINE_ID = 'dm-00000000-0000-4000-8000-000000000000';
/** No generation knows this field: an API that complains about it has looked at the whole body. */
const UNKNOWN_FIELD = 'unknown_on_purpose';
/** Answers that say nothing about the request. */
const passingStatuses: readonly number[] = [408, 425, 429, 502, 503, 504];

export interface Capabilities {
  readonly takesAutosleep: boolean;
  readonly mayHaveAutoresizing: boolean;
  hasTerminals: boolean;
  /** Learns from any machine body, for as long as nothing better is known. */
  notice(machine: Machine, body: unknown): void;
  /** True where the route does not exist: it is not asked again. */
  noticeAutoresizing(failure: ApiFailure): boolean;
  /**
   * Whether requests may hold `autosleep`, asked once and the same from then on: the body of a stored request has to be the same
   * at every try, by whichever worker. What the API does not say clearly counts as no.
   * @throws as every request does, when the API did not get as far as to answer
   */
  settleAutosleep(signal?: AbortSignal): Promise<boolean>;
}

export function createCapabilities(parts: {
  readonly transport: Transport;
  readonly takesAutosleep: boolean | 'auto';
  readonly newKey: () => string;
}): Capabilities {
  let settled = parts.takesAutosleep === 'auto' ? undefined : parts.takesAutosleep;
  let seen = false;
  let autoresizing = true;

  return {
    hasTerminals: true,
    get takesAutosleep() {
      return settled ?? seen;
    },
    get mayHaveAutoresizing() {
      return autoresizing;
    },
    notice(machine, body) {
      if (machine.autosleepSeconds !== undefined) seen = true;
      else if (isRecord(body) && isRecord(body['status'])) seen = false;
    },
    noticeAutoresizing(failure) {
      if (mayLackRoute(failure)) autoresizing = false;
      return !autoresizing;
    },
    async settleAutosleep(signal) {
      if (settled !== undefined) return settled;
      const answer = await parts.transport.send({
        method: 'patch',
        path: `/v1/machines/${NO_MACHINE_ID}`,
        body: { autosleep: '300', [UNKNOWN_FIELD]: true },
        idempotencyKey: parts.newKey(),
        signal,
      });
      if (!answer.ok && passingStatuses.includes(answer.status)) throw toProviderError(answer, 'account');
      // A key that may not even ask is refused at the creation itself, with the better message.
      if (!answer.ok && (answer.status === 401 || answer.status === 403)) return false;
      settled ??= !answer.ok && names(answer, UNKNOWN_FIELD) && !names(answer, 'autosleep');
      return settled;
    },
  };
}

function names(failure: ApiFailure, field: string): boolean {
  return failure.message.includes(field) || failure.fields.some((location) => location.includes(field));
}
