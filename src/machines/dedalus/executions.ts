/**
 * Executions: submit argv, poll to the end, read the output. A document that ended without an exit code and with an error code
 * is the platform's refusal to run it, though every HTTP call answered 200.
 */
import { InnkeeperError } from '../../contracts/errors.js';
import type { ExecutionRequest, ExecutionResult, Machine, MutationOptions } from '../provider.js';
import { wait } from './deadline.js';
import { toProviderError } from './errors.js';
import { machinePath } from './machines.js';
import { isRecord, type ApiRequest, type Transport } from './transport.js';
import { readId, readWords } from './values.js';

/** Most commands sent this way take a few milliseconds, and a sleeper's first turn waits for them. */
const POLL_FIRST_MS = 5;
const POLL_FACTOR = 1.6;
const POLL_MAX_MS = 1_000;
const FAILURE_PAUSE_MS = 30;
/** Reads that may fail in a row before the whole call does; the execution itself goes on. */
const POLL_FAILURES_MAX = 5;
/** Time for waking and queueing on top of the execution's own limit. */
const POLL_GRACE_MS = 180_000;

const finalStatuses: readonly unknown[] = ['succeeded', 'failed', 'cancelled', 'expired'];

type Execute = (machineId: string, request: ExecutionRequest, options: MutationOptions) => Promise<ExecutionResult>;

export function createExecute(parts: {
  readonly transport: Transport;
  readonly find: (machineId: string, options: { signal?: AbortSignal | undefined }) => Promise<Machine | undefined>;
}): Execute {
  const { transport, find } = parts;

  /** One request whose answer is a JSON object. */
  async function ask(request: ApiRequest): Promise<Record<string, unknown>> {
    const answer = await transport.send(request);
    if (!answer.ok) throw toProviderError(answer, 'machine');
    if (!isRecord(answer.body)) {
      throw new InnkeeperError(
        'PROVIDER_UNAVAILABLE',
        'The machine provider answered something that is not an execution.',
      );
    }
    return answer.body;
  }

  /** A read that bears a few failures of the provider in a row. */
  async function askPatiently(path: string, signal: AbortSignal | undefined): Promise<Record<string, unknown>> {
    for (let failures = 1; ; failures += 1) {
      try {
        return await ask({ method: 'get', path, signal });
      } catch (error) {
        const isPassing =
          InnkeeperError.is(error) &&
          (error.code === 'PROVIDER_UNAVAILABLE' || error.code === 'PROVIDER_RATE_LIMITED') &&
          failures < POLL_FAILURES_MAX;
        if (!isPassing) throw error;
        await wait(error.retryAfterMs ?? Math.min(POLL_MAX_MS, FAILURE_PAUSE_MS * 2 ** failures), signal);
      }
    }
  }

  async function refusal(
    machineId: string,
    document: Record<string, unknown>,
    signal?: AbortSignal,
  ): Promise<InnkeeperError> {
    const code = String(document['error_code']);
    const words = transport.redact(`${code}: ${readWords(document['error_message']) || 'no message'}`);
    const details = { refused: true, providerCode: transport.redact(code) };
    // "Not found" is also said of machines that are just not routable yet: only the machine's own route decides.
    const isLost = code === 'machine_not_found' && (await find(machineId, { signal })) === undefined;
    return isLost
      ? new InnkeeperError('MACHINE_LOST', `The machine is gone (${words}).`, { details })
      : new InnkeeperError('GUEST_UNREACHABLE', `The machine provider did not run the command (${words}).`, {
          details,
        });
  }

  return async (machineId, request, { idempotencyKey, signal }) => {
    const base = `${machinePath(machineId)}/executions`;
    let document = await ask({
      method: 'post',
      path: base,
      body: {
        command: request.argv,
        ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
        ...(request.env === undefined ? {} : { env: request.env }),
        ...(request.stdin === undefined ? {} : { stdin: request.stdin }),
        timeout_ms: request.timeoutMs,
      },
      idempotencyKey,
      signal,
    });
    const executionId = readId(document['execution_id']);
    if (executionId === undefined) {
      throw new InnkeeperError(
        'PROVIDER_UNAVAILABLE',
        'The machine provider took the command without naming its execution.',
      );
    }
    const path = `${base}/${encodeURIComponent(executionId)}`;
    const giveUpAt = performance.now() + request.timeoutMs + POLL_GRACE_MS;
    for (let delayMs = POLL_FIRST_MS; !finalStatuses.includes(document['status']); delayMs *= POLL_FACTOR) {
      if (performance.now() > giveUpAt) {
        throw new InnkeeperError('GUEST_UNREACHABLE', 'The execution did not end in its time.', {
          details: { executionId },
        });
      }
      await wait(Math.min(delayMs, POLL_MAX_MS), signal);
      document = await askPatiently(path, signal);
    }

    const exitCode = document['exit_code'];
    const isExpired = document['status'] === 'expired';
    if (typeof exitCode !== 'number' && !isExpired && typeof document['error_code'] === 'string') {
      throw await refusal(machineId, document, signal);
    }
    const isSilent = document['stdout_bytes'] === 0 && document['stderr_bytes'] === 0;
    const output = isSilent ? {} : await askPatiently(`${path}/output`, signal);
    const killedBy = document['signal'];
    return {
      executionId,
      exitCode: typeof exitCode === 'number' ? exitCode : undefined,
      signal: typeof killedBy === 'string' && killedBy !== '' ? killedBy : undefined,
      expired: isExpired,
      stdout: toText(output['stdout']),
      stderr: toText(output['stderr']),
      stdoutTruncated: output['stdout_truncated'] === true || document['stdout_truncated'] === true,
    };
  };
}

function toText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
