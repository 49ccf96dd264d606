/**
 * Goal: whoever follows hears each event once, in order, over every kind of break, and learns when they have to read anew. Method: a real
 * server that breaks its streams on purpose, after any byte; silence and pauses are made short by the options that are there for it.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createHurry, follow, pauseMs, type Connection, type FollowEnd } from '../../../web/api/follow.js';
import { createHttp, Problem } from '../../../web/api/http.js';
import { createOpenTerminal } from '../../../web/api/terminal.js';
import { createApi, type Api } from '../../../web/api/innkeeper.js';
import { waitFor } from '../../support/wait-for.js';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

let server: Server;
let api: Api;
let answer: Answer;
let asked: string[];
let refused: Problem[];
const ending = { controller: new AbortController() };

beforeEach(async () => {
  [asked, refused] = [[], []];
  ending.controller = new AbortController();
  server = createServer((request, response) => {
    asked.push(String(request.headers['last-event-id']));
    answer(request, response);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const where = { base, secret: 'ik_1' };
  const http = createHttp({ ...where, onRefused: (problem) => refused.push(problem) });
  const sendFile = (): Promise<never> => Promise.reject(new Error('nothing is uploaded here'));
  api = createApi(http, { sendFile, openTerminal: createOpenTerminal(where) });
});
afterEach(async () => {
  ending.controller.abort();
  server.closeAllConnections();
  await new Promise((resolve) => void server.close(resolve));
});

interface Following {
  readonly heard: number[];
  readonly connections: Connection[];
  readonly end: Promise<FollowEnd>;
}

function start({ silenceMsMax = 60_000, failsAt = -1 } = {}): Following {
  const [heard, connections]: [number[], Connection[]] = [[], []];
  const hurry = createHurry();
  const end = follow({
    ...{ after: '0', signal: ending.controller.signal, hurry, silenceMsMax },
    open: (after, signal) => api.events('ada', after, signal),
    onEvent(data) {
      const { seq } = data as { seq: number };
      if (seq === failsAt) throw new Error('an event is missing');
      heard.push(seq);
    },
    onConnection(connection) {
      connections.push(connection);
      // A reader who cannot wait.
      if (connection.state === 'broken') setTimeout(() => hurry.now(), 1);
    },
  });
  return { heard, connections, end };
}

const frame = (seq: number): string => `id: ${seq}\nevent: turn.queued\ndata: {"seq":${seq}}\n\n`;
const open = (response: ServerResponse): ServerResponse =>
  response.writeHead(200, { 'content-type': 'text/event-stream' });
const problem = (response: ServerResponse, status: number, code: string): void => {
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  response.end(JSON.stringify({ code, title: 'what to do', detail: 'what went wrong', status }));
};

describe('a follower', () => {
  it('hears each event once, wherever the stream is cut', async () => {
    const last = 6;
    const text = Array.from({ length: last }, (_, at) => frame(at + 1)).join('');
    const sizes = Array.from({ length: text.length }, (_, at) => at + 1);
    let turn = 0;
    answer = (request, response) => {
      const from = text.indexOf(frame(Number(request.headers['last-event-id']) + 1));
      // Ever longer, so that it comes to its end some time.
      const size = sizes[(turn += 7) % sizes.length] ?? 1;
      const rest = from === -1 ? ':\n\n' : text.slice(from, from + size);
      open(response).write(rest, () => response.destroy());
    };
    const { heard } = start();
    await waitFor('the last event', () => heard.includes(last));
    expect(heard).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('goes on behind the last id, live text included', async () => {
    answer = (_request, response) => {
      open(response).write(
        'id: 3:1:7\nevent: answer.delta\ndata: {"seq":0}\n\n',
        () => asked.length === 1 && response.end(),
      );
    };
    const { connections } = start();
    await waitFor('the second connection', () => asked.length === 2);
    expect(asked).toEqual(['0', '3:1:7']);
    await waitFor('it is live again', () => connections.at(-1)?.state === 'live');
    expect(connections.map(({ state }) => state)).toEqual(['connecting', 'live', 'broken', 'connecting', 'live']);
  });

  it('takes silence for a break, and a comment for a sign of life', async () => {
    let isQuiet = false;
    answer = (_request, response) => {
      open(response).write(frame(asked.length));
      const beat = setInterval(() => isQuiet || response.write(':\n\n'), 20);
      response.once('close', () => clearInterval(beat));
    };
    const { heard } = start({ silenceMsMax: 200 });
    await waitFor('the first event', () => heard.length === 1);
    expect(asked).toHaveLength(1);
    isQuiet = true;
    await waitFor('another connection', () => heard.length >= 2);
    expect(asked[1]).toBe('1');
  });

  it('waits out an answer that passes, and as long as it is told to', async () => {
    answer = (_request, response) => {
      if (asked.length === 1) problem(response, 503, 'STORE_UNAVAILABLE');
      else open(response).write(frame(1));
    };
    const { heard, connections } = start();
    await waitFor('the event', () => heard.length === 1);
    const broken = connections.find((connection) => connection.state === 'broken');
    expect(broken).toMatchObject({
      problem: { code: 'STORE_UNAVAILABLE', message: 'what went wrong', advice: 'what to do' },
    });
  });

  it.each([
    ['the stream says so', (response: ServerResponse) => void open(response).end('event: resync\ndata: {}\n\n')],
    ['its id is none', (response: ServerResponse) => problem(response, 400, 'INVALID_INPUT')],
    ['an event does not follow', (response: ServerResponse) => void open(response).write(frame(1) + frame(3))],
    ['what comes is no JSON', (response: ServerResponse) => void open(response).write('id: 1\ndata: {\n\n')],
  ])('reads anew where %s', async (_name, send) => {
    answer = (_request, response) => send(response);
    expect(await start({ failsAt: 3 }).end).toBe('resync');
  });

  it('ends where there is no such user, and at its signal', async () => {
    answer = (_request, response) => problem(response, 404, 'USER_UNKNOWN');
    expect(await start().end).toBe('unknown_user');
    answer = (_request, response) => void open(response).write(':\n\n');
    const { connections, end } = start();
    await waitFor('it is live', () => connections.at(-1)?.state === 'live');
    ending.controller.abort();
    expect(await end).toBe('stopped');
  });

  it('tells a credential that is refused from one that may not', async () => {
    answer = (_request, response) => problem(response, 401, 'UNAUTHENTICATED');
    await expect(start().end).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(refused).toHaveLength(1);
    answer = (_request, response) => problem(response, 403, 'FORBIDDEN');
    await expect(start().end).rejects.toBeInstanceOf(Problem);
    expect(refused).toHaveLength(1);
  });
});

describe('an answer that is none of ours', () => {
  it('is a problem that says what to do', async () => {
    answer = (_request, response) =>
      void response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad gateway</h1>');
    await expect(api.getUser('ada')).rejects.toMatchObject({ code: 'UNREACHABLE', status: 502 });
    answer = (_request, response) => void response.destroy();
    await expect(api.getUser('ada')).rejects.toMatchObject({ code: 'UNREACHABLE', status: 0 });
  });
});

it('pauses grow, stay bounded, and differ', () => {
  expect([0, 1, 2].map((failures) => pauseMs(failures, () => 1))).toEqual([500, 1_000, 2_000]);
  expect(pauseMs(1_000, () => 1)).toBe(15_000);
  expect(pauseMs(0, () => 0)).toBe(250);
});
