/** Terminals: create one, wait until it is ready, open its socket. Frames are terminal-wire.ts, the open stream terminal-stream.ts. */
import { WebSocket } from 'ws';
import { InnkeeperError } from '../../contracts/errors.js';
import type { Machine, MutationOptions, Terminal, TerminalRequest } from '../provider.js';
import type { Capabilities } from './capabilities.js';
import { wait } from './deadline.js';
import { mayLackRoute, toProviderError } from './errors.js';
import { machinePath } from './machines.js';
import { openSocket, streamAddress } from './terminal-socket.js';
import { createTerminalStream } from './terminal-stream.js';
import type { TerminalProtocol } from './terminal-wire.js';
import { isRecord, type Transport } from './transport.js';
import { readId } from './values.js';

const POLL_FIRST_MS = 60;
const POLL_FACTOR = 1.6;
const POLL_MAX_MS = 1_000;
/** Creating a terminal wakes the machine: this bounds the wake too. */
const READY_WAIT_MS = 180_000;

type OpenTerminal = (machineId: string, request: TerminalRequest, options: MutationOptions) => Promise<Terminal>;

export function createOpenTerminal(parts: {
  readonly transport: Transport;
  readonly capabilities: Capabilities;
  readonly find: (machineId: string, options: { signal?: AbortSignal | undefined }) => Promise<Machine | undefined>;
  readonly protocol: 'auto' | TerminalProtocol;
  readonly requestTimeoutMs: number;
  readonly newKey: () => string;
}): OpenTerminal {
  const { transport, capabilities } = parts;

  async function createDocument(
    machineId: string,
    request: TerminalRequest,
    { idempotencyKey, signal }: MutationOptions,
  ): Promise<Record<string, unknown>> {
    const answer = await transport.send({
      method: 'post',
      path: `${machinePath(machineId)}/terminals`,
      body: {
        width: request.columns,
        height: request.rows,
        ...(request.shell === undefined ? {} : { shell: request.shell }),
        ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
        ...(request.env === undefined ? {} : { env: request.env }),
      },
      idempotencyKey,
      signal,
    });
    if (answer.ok) return isRecord(answer.body) ? answer.body : {};
    if (!mayLackRoute(answer)) throw toProviderError(answer, 'machine');
    if ((await parts.find(machineId, { signal })) === undefined) {
      throw new InnkeeperError('MACHINE_LOST', 'The machine provider no longer knows the machine.');
    }
    capabilities.hasTerminals = false;
    throw new InnkeeperError(
      'PROVIDER_ROUTE_CLOSED',
      'This machine provider has no terminals: executions carry everything.',
    );
  }

  return async (machineId, request, options) => {
    const { signal } = options;
    let document = await createDocument(machineId, request, options);
    const terminalId = readId(document['terminal_id']);
    if (terminalId === undefined) {
      throw new InnkeeperError('PROVIDER_UNAVAILABLE', 'The machine provider opened a terminal without naming it.');
    }
    const path = `${machinePath(machineId)}/terminals/${encodeURIComponent(terminalId)}`;
    const endShell = async (): Promise<void> => {
      try {
        await transport.send({ method: 'delete', path, idempotencyKey: parts.newKey() });
      } catch {
        // The socket is closed already and the provider ends abandoned shells by itself: nothing of ours is lost.
      }
    };

    const giveUpAt = performance.now() + READY_WAIT_MS;
    try {
      for (let delayMs = POLL_FIRST_MS; ; delayMs *= POLL_FACTOR) {
        failIfOver(document, transport);
        if (document['status'] === 'ready') {
          const opened = await openSocket({
            address: streamAddress(transport, document['stream_url'], `${path}/stream`),
            timeoutMs: parts.requestTimeoutMs,
            signal,
            redact: transport.redact,
          });
          if (opened instanceof WebSocket) {
            return createTerminalStream(opened, {
              terminalId,
              protocol: parts.protocol,
              redact: transport.redact,
              endShell,
            });
          }
        }
        if (performance.now() > giveUpAt) {
          throw new InnkeeperError('GUEST_UNREACHABLE', 'The terminal did not become ready in time.');
        }
        await wait(Math.min(delayMs, POLL_MAX_MS), signal);
        const answer = await transport.send({ method: 'get', path, signal });
        if (!answer.ok) throw await lostOr(toProviderError(answer, 'machine'), machineId, signal);
        document = isRecord(answer.body) ? answer.body : {};
      }
    } catch (error) {
      void endShell();
      throw error;
    }
  };

  /** 404 on a terminal is the terminal's end; of the machine only where its own route says so too. */
  async function lostOr(error: InnkeeperError, machineId: string, signal?: AbortSignal): Promise<InnkeeperError> {
    if (error.code !== 'MACHINE_LOST' || (await parts.find(machineId, { signal })) === undefined) return error;
    return new InnkeeperError('GUEST_UNREACHABLE', 'The terminal ended before it was ready.');
  }
}

function failIfOver(document: Record<string, unknown>, transport: Transport): void {
  const status = document['status'];
  if (status !== 'closed' && status !== 'expired' && status !== 'failed') return;
  const words = [document['error_code'], document['error_message']]
    .filter((part) => typeof part === 'string')
    .join(': ');
  throw new InnkeeperError('GUEST_UNREACHABLE', transport.redact(`The terminal is ${status}. ${words}`), {
    details: { refused: true },
  });
}
