/** What the adapter's tests share: a provider against the fake API, machine bodies, and a failure as a value. */
import { InnkeeperError } from '../../../../src/contracts/errors.js';
import { createDedalusProvider, type DedalusProviderOptions } from '../../../../src/machines/dedalus/provider.js';
import type { MachineProvider } from '../../../../src/machines/provider.js';

export const KEY = 'dsk-live-secret-provider-key';

export function provider(baseUrl: string, extra: Partial<DedalusProviderOptions> = {}): MachineProvider {
  let keys = 0;
  return createDedalusProvider({
    baseUrl,
    apiKey: KEY,
    takesAutosleep: false,
    sendIfMatch: true,
    terminalProtocol: 'auto',
    requestTimeoutMs: 2_000,
    newKey: () => `new-key-${(keys += 1)}`,
    ...extra,
  });
}

/** The nested form; `revision` and others by `status`. */
export function nested(status: object = {}, top: object = {}): object {
  return {
    machine_id: 'dm-1',
    vcpu: 1,
    memory_mib: 2_048,
    storage_gib: 10,
    desired_state: 'running',
    status: {
      phase: 'running',
      reason: 'DesiredStateReached',
      retryable: false,
      revision: '7',
      last_transition_at: '2026-08-05T10:00:00Z',
      last_progress_at: '2026-08-05T10:00:00Z',
      last_error: null,
      ...status,
    },
    ...top,
  };
}

/** The failure of `run`, which must be one of ours and hold no secret. */
export async function failure(run: Promise<unknown>): Promise<InnkeeperError> {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!InnkeeperError.is(error)) throw new Error(`not one of our errors: ${String(error)}`);
  const shown = `${error.message} ${JSON.stringify(error.details)} ${String(error.cause)}`;
  if (shown.includes(KEY)) throw new Error('the key shows in an error');
  return error;
}
