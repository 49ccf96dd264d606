/**
 * What the API on the other side offers, learned from its answers: autosleep in requests (from g3 on), terminals (up to g5),
 * memory autoresizing (g6). Only ever asked for by requests that change nothing.
 */
import type { Machine } from '../provider.js';
import { mayLackRoute } from './errors.js';
import { isRecord, type ApiFailure, type Transport } from './transport.js';

/** A machine that cannot exist; spelled so that every generation's id pattern accepts it. */
const NO_MACHINE_ID = 'dm-00000000-0000-4000-8000-000000000000';

export interface Capabilities {
  readonly takesAutosleep: boolean;
  /** False only where the setting says so or the API has refused the field: a stored request goes out as it was stored. */
  readonly maySendAutosleep: boolean;
  readonly mayHaveAutoresizing: boolean;
  hasTerminals: boolean;
  /** Learns from any machine body. */
  notice(machine: Machine, body: unknown): void;
  /** Learns from the refusal of a request that held `autosleep`. */
  noticeRefusal(failure: ApiFailure): void;
  /** True where the route does not exist: it is not asked again. */
  noticeAutoresizing(failure: ApiFailure): boolean;
  /** Asks, once, what is still unknown and worth knowing before the first creation. Never throws for what the provider answers. */
  settle(signal?: AbortSignal): Promise<void>;
}

export function createCapabilities(parts: {
  readonly transport: Transport;
  readonly takesAutosleep: boolean | 'auto';
  readonly newKey: () => string;
}): Capabilities {
  let autosleep: boolean | undefined = parts.takesAutosleep === 'auto' ? undefined : parts.takesAutosleep;
  const isFixed = autosleep !== undefined;
  let autoresizing = true;

  function noticeRefusal(failure: ApiFailure): void {
    if (!isFixed && namesAutosleep(failure)) autosleep = false;
  }

  return {
    hasTerminals: true,
    get takesAutosleep() {
      return autosleep ?? false;
    },
    get maySendAutosleep() {
      return autosleep !== false;
    },
    get mayHaveAutoresizing() {
      return autoresizing;
    },
    notice(machine, body) {
      if (isFixed || autosleep !== undefined) return;
      if (machine.autosleepSeconds !== undefined) autosleep = true;
      else if (isRecord(body) && isRecord(body['status'])) autosleep = false;
    },
    noticeRefusal,
    noticeAutoresizing(failure) {
      if (mayLackRoute(failure)) autoresizing = false;
      return !autoresizing;
    },
    async settle(signal) {
      if (autosleep !== undefined) return;
      const answer = await parts.transport.send({
        method: 'patch',
        path: `/v1/machines/${NO_MACHINE_ID}`,
        body: { autosleep: '300' },
        idempotencyKey: parts.newKey(),
        signal,
      });
      // The API checks a body before it looks for the machine: an unknown field is refused as such, a known one finds nobody.
      if (answer.ok || autosleep !== undefined) return;
      if (namesAutosleep(answer)) autosleep = false;
      else if (answer.status === 404) autosleep = true;
    },
  };
}

function namesAutosleep(failure: ApiFailure): boolean {
  const isValidation = failure.status === 400 || failure.status === 422;
  return (
    isValidation && (/autosleep/i.test(failure.message) || failure.fields.some((field) => /autosleep/i.test(field)))
  );
}
