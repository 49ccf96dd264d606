/** The machine routes: create, find, list, wake, sleep, destroy. One request each, and the reads that settle an unclear answer. */
import { InnkeeperError } from '../../contracts/errors.js';
import type { CreateMachineRequest, ListOptions, Machine, MutationOptions, RevisionOptions } from '../provider.js';
import type { Capabilities } from './capabilities.js';
import { wait } from './deadline.js';
import { isRouteClosed, toErrorCode, toProviderError } from './errors.js';
import { readMachine } from './machine-body.js';
import { isRecord, type AdapterLog, type ApiAnswer, type ApiSuccess, type Transport } from './transport.js';

/** Limit of the no-op execution that wakes a machine whose wake route is closed to us. */
const WAKE_EXECUTION_TIMEOUT_MS = 60_000;
const AUTORESIZING_TRIES_MAX = 3;
const AUTORESIZING_RETRY_MS = 200;

export interface MachineRoutes {
  create(request: CreateMachineRequest, options: MutationOptions): Promise<Machine>;
  find(machineId: string, options?: { signal?: AbortSignal | undefined }): Promise<Machine | undefined>;
  list(options?: ListOptions): Promise<{ machines: Machine[]; nextCursor: string | undefined }>;
  wake(machineId: string, options: RevisionOptions): Promise<Machine>;
  sleep(machineId: string, options: RevisionOptions): Promise<Machine>;
  destroy(machineId: string, options: RevisionOptions): Promise<void>;
}

/** Path of one machine; ids are opaque, so they are encoded whole. */
export function machinePath(machineId: string): string {
  return `/v1/machines/${encodeURIComponent(machineId)}`;
}

export function createMachineRoutes(parts: {
  readonly transport: Transport;
  readonly capabilities: Capabilities;
  readonly sendIfMatch: boolean;
  readonly newKey: () => string;
  readonly log: AdapterLog | undefined;
}): MachineRoutes {
  const { transport, capabilities } = parts;

  function read(answer: ApiSuccess): Machine | undefined {
    const machine = readMachine(answer.body, answer.etag);
    if (machine !== undefined) capabilities.notice(machine, answer.body);
    return machine;
  }

  function ifMatch(options: RevisionOptions): string | undefined {
    return parts.sendIfMatch ? options.ifMatch : undefined;
  }

  async function create(request: CreateMachineRequest, options: MutationOptions): Promise<Machine> {
    const takesAutosleep =
      request.autosleepSeconds !== undefined && (await capabilities.settleAutosleep(options.signal));
    const answer = await transport.send({
      method: 'post',
      path: '/v1/machines',
      body: {
        vcpu: request.vcpu,
        memory_mib: request.memoryMib,
        storage_gib: request.storageGib,
        ...(takesAutosleep ? { autosleep: String(request.autosleepSeconds) } : {}),
      },
      idempotencyKey: options.idempotencyKey,
      signal: options.signal,
    });
    if (!answer.ok) throw toProviderError(answer, 'account');
    const machine = read(answer);
    if (machine === undefined) {
      throw new InnkeeperError(
        'PROVIDER_UNAVAILABLE',
        'The machine provider accepted the creation without naming the machine.',
      );
    }
    await switchAutoresizingOff(machine.machineId, options.signal);
    return machine;
  }

  /** Memory that grows by itself would be billed without our asking. A machine is not given up for it, only reported. */
  async function switchAutoresizingOff(machineId: string, signal: AbortSignal | undefined): Promise<void> {
    for (let tries = 1; capabilities.mayHaveAutoresizing; tries += 1) {
      const answer = await sendQuietly(() =>
        transport.send({
          method: 'put',
          path: `${machinePath(machineId)}/autoresizing`,
          body: { enabled: false },
          idempotencyKey: parts.newKey(),
          signal,
        }),
      );
      if (answer === undefined || !answer.ok) {
        if (answer !== undefined && capabilities.noticeAutoresizing(answer)) return;
        if (tries < AUTORESIZING_TRIES_MAX) {
          await wait(answer?.retryAfterMs ?? AUTORESIZING_RETRY_MS, signal);
          continue;
        }
        parts.log?.warn({ machineId, status: answer?.status }, 'memory autoresizing could not be switched off');
      }
      return;
    }
  }

  async function find(
    machineId: string,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<Machine | undefined> {
    const answer = await transport.send({ method: 'get', path: machinePath(machineId), signal: options.signal });
    if (!answer.ok) {
      const error = toProviderError(answer, 'machine');
      if (error.code === 'MACHINE_LOST') return undefined;
      throw error;
    }
    const machine = read(answer);
    if (machine === undefined) {
      throw new InnkeeperError(
        'PROVIDER_UNAVAILABLE',
        'The machine provider answered something that is not a machine.',
      );
    }
    return machine.phase === 'destroyed' ? undefined : machine;
  }

  async function findOrLost(machineId: string, signal: AbortSignal | undefined): Promise<Machine> {
    const machine = await find(machineId, { signal });
    if (machine === undefined)
      throw new InnkeeperError('MACHINE_LOST', 'The machine provider no longer knows the machine.');
    return machine;
  }

  async function list(options: ListOptions = {}): Promise<{ machines: Machine[]; nextCursor: string | undefined }> {
    const answer = await transport.send({
      method: 'get',
      path: '/v1/machines',
      query: {
        ...(options.limit === undefined ? {} : { limit: options.limit }),
        ...(options.cursor === undefined ? {} : { cursor: options.cursor }),
      },
      signal: options.signal,
    });
    if (!answer.ok) throw toProviderError(answer, 'account');
    if (!isRecord(answer.body)) {
      throw new InnkeeperError('PROVIDER_UNAVAILABLE', 'The machine provider answered something that is not a list.');
    }
    const items: unknown[] = Array.isArray(answer.body['items']) ? answer.body['items'] : [];
    const machines = items.flatMap((item) => readMachine(item) ?? []);
    const [first] = machines;
    if (first !== undefined) capabilities.notice(first, items[0]);
    const next = answer.body['next_cursor'];
    return { machines, nextCursor: typeof next === 'string' && next !== '' ? next : undefined };
  }

  /** After an accepted change: the machine as answered, read anew where the answer holds none. */
  async function changed(machineId: string, answer: ApiSuccess, signal: AbortSignal | undefined): Promise<Machine> {
    return read(answer) ?? (await findOrLost(machineId, signal));
  }

  async function wake(machineId: string, options: RevisionOptions): Promise<Machine> {
    const answer = await transport.send({
      method: 'post',
      path: `${machinePath(machineId)}/wake`,
      idempotencyKey: options.idempotencyKey,
      ifMatch: ifMatch(options),
      signal: options.signal,
    });
    if (answer.ok) return await changed(machineId, answer, options.signal);
    if (!isRouteClosed(answer)) throw toProviderError(answer, 'machine');
    // Any execution wakes a machine. A repeat is harmless, so its key need not be stored.
    const execution = await transport.send({
      method: 'post',
      path: `${machinePath(machineId)}/executions`,
      body: { command: ['/bin/true'], timeout_ms: WAKE_EXECUTION_TIMEOUT_MS },
      idempotencyKey: parts.newKey(),
      signal: options.signal,
    });
    if (!execution.ok) throw toProviderError(execution, 'machine');
    return await findOrLost(machineId, options.signal);
  }

  async function sleep(machineId: string, options: RevisionOptions): Promise<Machine> {
    const answer = await transport.send({
      method: 'post',
      path: `${machinePath(machineId)}/sleep`,
      idempotencyKey: options.idempotencyKey,
      ifMatch: ifMatch(options),
      signal: options.signal,
    });
    if (!answer.ok) throw toProviderError(answer, 'machine');
    return await changed(machineId, answer, options.signal);
  }

  async function destroy(machineId: string, options: RevisionOptions): Promise<void> {
    let failure: InnkeeperError;
    try {
      const answer = await transport.send({
        method: 'delete',
        path: machinePath(machineId),
        idempotencyKey: options.idempotencyKey,
        ifMatch: ifMatch(options),
        signal: options.signal,
      });
      if (answer.ok || toErrorCode(answer, 'machine') === 'MACHINE_LOST') return;
      failure = toProviderError(answer, 'machine');
    } catch (error) {
      if (!InnkeeperError.is(error)) throw error;
      failure = error;
    }
    // The provider may commit a delete and then answer 5xx, or not at all; and a machine on its way out refuses another.
    if (failure.code !== 'PROVIDER_UNAVAILABLE' && failure.code !== 'MACHINE_INVALID_STATE') throw failure;
    const found = await find(machineId, { signal: options.signal }).catch((error: unknown) => {
      options.signal?.throwIfAborted();
      if (InnkeeperError.is(error)) throw failure; // The first failure says more; both ask for another try.
      throw error;
    });
    if (found === undefined || found.phase === 'destroying' || found.desiredState === 'destroyed') return;
    throw failure;
  }

  return { create, find, list, wake, sleep, destroy };
}

/** undefined when the provider is away. */
async function sendQuietly(send: () => Promise<ApiAnswer>): Promise<ApiAnswer | undefined> {
  try {
    return await send();
  } catch (error) {
    if (InnkeeperError.is(error)) return undefined;
    throw error;
  }
}
