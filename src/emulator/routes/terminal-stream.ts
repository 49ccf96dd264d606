/** The sockets of terminals: authentication and readiness are settled at the upgrade, as plain HTTP answers. */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { TERMINAL_FRAME_BYTES_MAX, TERMINAL_RETRY_AFTER_MS } from '../constants.js';
import { findMachine, type EmulatorContext } from '../context.js';
import type { TerminalRecord } from '../state/records.js';
import { codedError, notFound, type WireError } from '../wire/errors.js';
import { checkAuth, isSame } from './auth.js';
import { takeRefusal } from './request-faults.js';

const STREAM_PATH = /^\/v1\/machines\/([^/]+)\/terminals\/([^/]+)\/stream$/;

/** @returns a function that ends all sockets */
export function serveTerminalStreams(server: Server, context: EmulatorContext): () => void {
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: TERMINAL_FRAME_BYTES_MAX,
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    const admitted = admit(context, request);
    if ('refusal' in admitted) return refuse(context, request, socket, admitted);
    note(context, request, admitted.terminal.machineId, 101, null);
    sockets.handleUpgrade(request, socket, head, (client) => {
      if (!context.terminals.attach(admitted.terminal, client)) client.close(1001, 'terminal closed');
    });
  });
  return () => {
    for (const client of sockets.clients) client.terminate();
    sockets.close();
  };
}

type Admission = { terminal: TerminalRecord } | { refusal: WireError; machineId?: string };

function admit(context: EmulatorContext, request: IncomingMessage): Admission {
  const { machineId, terminalId, token } = readTarget(request.url ?? '/');
  const machine = findMachine(context, machineId);
  const terminal = machine && context.terminals.find(machine.id, terminalId);
  const hasToken = token !== null && terminal !== undefined && isSame(token, terminal.token);
  const unauthorized = hasToken ? undefined : checkAuth(request.headers, context.apiKey);
  if (unauthorized) return { refusal: unauthorized };
  if (!context.rules.hasTerminals || !machine || !terminal) return { refusal: notFound('terminal') };
  const point = { route: 'terminals.stream', machineId: machine.id };
  const injected = takeRefusal(context.faults, point);
  if (injected) return { refusal: injected, machineId: machine.id };
  if (terminal.status === 'closed' || terminal.status === 'failed' || terminal.status === 'expired') {
    return { refusal: notReady('closed', false), machineId: machine.id };
  }
  if (terminal.status === 'ready' && context.terminals.hasSession(terminal.id) && context.lifecycle.isUsable(machine)) {
    return { terminal };
  }
  context.lifecycle.implicitWake(machine, 'terminal');
  return { refusal: notReady('wake_in_progress', true), machineId: machine.id };
}

/** Empty ids where the address is no terminal's, or none at all: an upgrade is outside of what the HTTP server checks. */
function readTarget(address: string): { machineId: string; terminalId: string; token: string | null } {
  try {
    const url = new URL(address, 'http://emulator');
    const [, machineId = '', terminalId = ''] = (STREAM_PATH.exec(url.pathname) ?? []).map(decodeURIComponent);
    return { machineId, terminalId, token: url.searchParams.get('token') };
  } catch {
    return { machineId: '', terminalId: '', token: null };
  }
}

function notReady(currentStatus: string, isRetryable: boolean): WireError {
  return codedError({
    status: 409,
    code: 'INVALID_STATE',
    message: `terminal is ${currentStatus}`,
    retryable: isRetryable,
    ...(isRetryable ? { retryAfterMs: TERMINAL_RETRY_AFTER_MS } : {}),
    details: { current_status: currentStatus, expected_status: 'ready' },
  });
}

function refuse(
  context: EmulatorContext,
  request: IncomingMessage,
  socket: Duplex,
  { refusal, machineId }: { refusal: WireError; machineId?: string },
): void {
  note(context, request, machineId, refusal.status, refusal.code);
  const body = JSON.stringify(refusal.body);
  const headers = {
    ...refusal.headers,
    'content-type': refusal.contentType,
    'content-length': Buffer.byteLength(body),
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  socket.end(`HTTP/1.1 ${refusal.status} Refused\r\n${lines.join('\r\n')}\r\nconnection: close\r\n\r\n${body}`);
}

function note(
  context: EmulatorContext,
  request: IncomingMessage,
  machineId: string | undefined,
  status: number,
  errorCode: string | null,
): void {
  const path = (request.url ?? '').split('?')[0];
  const base = { kind: 'api', method: 'GET', route: 'terminals.stream', path };
  context.store.note({ ...base, ...(machineId === undefined ? {} : { machineId }), status, errorCode });
}
