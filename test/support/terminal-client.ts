/** A person at a terminal, as a WebSocket: what they see, what they are told, and what they type. */
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { TERMINAL_PROTOCOL, type TerminalServerFrame } from '../../src/contracts/terminal.js';
import { waitFor } from './wait-for.js';

export interface TerminalClient {
  readonly socket: WebSocket;
  /** All that the shell has shown. */
  seen(): string;
  /** The end of that, for much of it. */
  tail(): string;
  readonly told: TerminalServerFrame[];
  /** The frame of this kind, once it has come. */
  hear<T extends TerminalServerFrame['type']>(type: T): Promise<Extract<TerminalServerFrame, { type: T }>>;
  /** Types a line and waits for this in what comes behind its echo. */
  type(line: string, expected: string | RegExp): Promise<void>;
  keys(text: string): void;
  send(frame: object | string): void;
  /** Code of the end, once it has come. */
  readonly closed: Promise<number>;
}

export interface TerminalOptions {
  readonly base: string;
  readonly userId: string;
  readonly key?: string;
  /** How the credential is carried; default: as a browser does. */
  readonly by?: 'protocol' | 'header' | 'none';
  readonly query?: string;
  readonly protocols?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
}

const SEEN_MS_MAX = 30_000;

/** Resolves when the socket is open. @throws Error with `statusCode` where the upgrade was refused */
export async function openTerminal(options: TerminalOptions): Promise<TerminalClient> {
  const { base, userId, key = '', by = 'protocol', query = '', headers = {} } = options;
  const protocols = options.protocols ?? [TERMINAL_PROTOCOL];
  const socket = new WebSocket(
    `${base.replace(/^http/, 'ws')}/v1/users/${userId}/terminal${query}`,
    [...protocols, ...(by === 'protocol' ? [`bearer.${key}`] : [])],
    { headers: { ...headers, ...(by === 'header' ? { authorization: `Bearer ${key}` } : {}) } },
  );
  const pieces: Buffer[] = [];
  const told: TerminalServerFrame[] = [];
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) pieces.push(data);
    else told.push(JSON.parse(data.toString()) as TerminalServerFrame);
  });
  const closed = new Promise<number>((resolve) => {
    socket.on('close', (code: number) => resolve(code));
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
    socket.once('unexpected-response', (_request, response) => {
      response.resume();
      reject(Object.assign(new Error('the upgrade was refused'), { statusCode: response.statusCode }));
    });
  });
  socket.on('error', () => undefined); // `close` follows.
  const seen = (): string => Buffer.concat(pieces).toString('utf8');
  return {
    ...{ socket, told, closed, seen },
    tail: () => Buffer.concat(pieces.slice(-4)).toString('utf8'),
    hear: (type) => waitFor(`the frame ${type}`, () => told.find((frame) => frame.type === type), SEEN_MS_MAX) as never,
    async type(line, expected) {
      const from = seen().length;
      socket.send(Buffer.from(`${line}\r`));
      const answer = (): string => seen().slice(from).replace(line, '');
      await waitFor(
        `${String(expected)} behind ${line}`,
        () => (typeof expected === 'string' ? answer().includes(expected) : expected.test(answer())),
        SEEN_MS_MAX,
      );
    },
    keys: (text) => socket.send(Buffer.from(text)),
    send: (frame) => socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame)),
  };
}

/** Takes the terminal, and waits until it is theirs. */
export async function takeTerminal(options: TerminalOptions): Promise<TerminalClient> {
  const client = await openTerminal(options);
  await Promise.race([client.hear('taken'), once(client.socket, 'close')]);
  if (!client.told.some(({ type }) => type === 'taken')) {
    throw new Error(`the terminal was not taken: ${JSON.stringify(client.told)}`);
  }
  return client;
}
