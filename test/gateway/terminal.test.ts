/**
 * Goal: a terminal is opened for whom it may be opened, and for nobody else; a connection that asks for another protocol is an ordinary
 * request. Method: handshakes as browsers and programs make them, and odd ones, at a gateway without a way to machines.
 */
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InnkeeperError } from '../../src/contracts/errors.js';
import { TERMINAL_PROTOCOL } from '../../src/contracts/terminal.js';
import { parseClientFrame } from '../../src/gateway/terminal-frames.js';
import { openTerminal, type TerminalOptions } from '../support/terminal-client.js';
import { openGateway, type TestGateway } from './support/gateway.js';

const ALLOWED_PAGE = 'https://chat.example';

let gateway: TestGateway;
beforeAll(async () => {
  const tokens = {
    verify: (token: string) =>
      token === 'token-of-ada'
        ? Promise.resolve('term-ada')
        : Promise.reject(new InnkeeperError('UNAUTHENTICATED', 'The token is not valid here.')),
    hasKeys: () => Promise.resolve(true),
  };
  gateway = await openGateway({ origins: [ALLOWED_PAGE], tokens });
  await gateway.client.createUser({ userId: 'term-ada' });
});
afterAll(() => gateway.close());

const open = (more: Partial<TerminalOptions> = {}) =>
  openTerminal({ base: gateway.base, userId: 'term-ada', key: gateway.keys.service, ...more });

/** Status of the refusal. */
const refusal = async (more: Partial<TerminalOptions>): Promise<unknown> =>
  open(more).then(
    () => 'opened',
    (error: unknown) => (error as { statusCode?: number }).statusCode,
  );

describe('a handshake', () => {
  it.each([
    ['a key among the subprotocols', {}],
    ['a key in the header', { by: 'header' as const }],
    ['a token of the user', { key: 'token-of-ada' }],
    ['a page that may ask', { headers: { origin: ALLOWED_PAGE } }],
  ])('with %s is taken, answers the protocol and never the credential', async (_what, more) => {
    const client = await open(more);
    expect(client.socket.protocol).toBe(TERMINAL_PROTOCOL);
    // This gateway was given no way to machines.
    expect(await client.hear('error')).toMatchObject({
      code: 'MACHINE_ACCESS_OFF',
      advice: expect.stringContaining('DEDALUS_API_KEY'),
    });
    expect(await client.closed).toBe(4501);
  });

  it('is taken from the gateway’s own page', async () => {
    expect((await open({ headers: { origin: gateway.base } })).socket.protocol).toBe(TERMINAL_PROTOCOL);
  });

  it.each([
    ['without a credential', { by: 'none' as const }, 401],
    ['with a credential in the address', { by: 'none' as const, query: '?bearer=KEY&access_token=KEY' }, 401],
    ['with a key that nobody made', { key: 'ik_nobody_made_this' }, 401],
    ['with a token that is not valid', { key: 'token-of-nobody' }, 401],
    ['for another user than the token’s', { key: 'token-of-ada', userId: 'term-bea' }, 403],
    ['from another site’s page', { headers: { origin: 'https://elsewhere.example' } }, 403],
    ['without the protocol', { protocols: ['some.other.v1'] }, 400],
    ['with a window that is none', { query: '?columns=0' }, 400],
    ['with a window beyond every bound', { query: '?rows=100000' }, 400],
    ['with a lease that is no id', { query: `?lease=${'x'.repeat(65)}` }, 400],
    ['for a user that is none', { userId: '%00' }, 400],
  ] as [string, Partial<TerminalOptions>, number][])(
    '%s is refused before the upgrade',
    async (_what, more, status) => {
      const query = more.query?.replaceAll('KEY', gateway.keys.service);
      expect(await refusal({ ...more, ...(query === undefined ? {} : { query }) })).toBe(status);
    },
  );

  it('of somebody who asks too often is refused', async () => {
    const busy = await openGateway({ rates: { keyPerMinute: 2, userPerMinute: 100 } });
    const one = { base: busy.base, userId: 'term-ada', key: busy.keys.service };
    await openTerminal(one);
    await openTerminal(one);
    await expect(openTerminal(one)).rejects.toMatchObject({ statusCode: 429 });
    await busy.close();
  });

  it('of no WebSocket is told what to do', async () => {
    expect(await gateway.ask('/v1/users/term-ada/terminal')).toMatchObject({
      status: 426,
      json: { code: 'UPGRADE_REQUIRED' },
    });
    expect(await gateway.ask('/v1/users/term-ada/terminal', { key: null })).toMatchObject({ status: 401 });
  });

  it.each(['term-ada/terminal/elsewhere', 'term-ada/events?x='])('at /v1/users/%s opens nothing', async (userId) => {
    expect(await refusal({ userId })).toBe(404);
  });
});

describe('a request that would rather speak another protocol', () => {
  async function ask(lines: readonly string[], body = ''): Promise<string> {
    const { hostname, port, host } = new URL(gateway.base);
    const socket = connect(Number(port), hostname);
    const all = [...lines, `host: ${host}`, `authorization: Bearer ${gateway.keys.service}`];
    socket.write(`${all.join('\r\n')}\r\n\r\n${body}`);
    return text(socket);
  }
  const H2C = [
    'connection: Upgrade, HTTP2-Settings, close',
    'upgrade: h2c',
    'http2-settings: AAMAAABkAAQAoAAAAAIAAAAA',
  ];

  it('is answered as it is', async () => {
    const answer = await ask(['GET /v1/users/term-ada HTTP/1.1', ...H2C]);
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer).toContain('"userId":"term-ada"');
  });

  it('with its body', async () => {
    const body = JSON.stringify({ prompt: 'é'.repeat(2_000), turnId: 't-h2c' });
    const length = `content-length: ${Buffer.byteLength(body)}`;
    const type = 'content-type: application/json';
    const answer = await ask(['POST /v1/users/term-h2c/turns HTTP/1.1', ...H2C, length, type], body);
    expect(answer).toMatch(/^HTTP\/1\.1 202 /);
    expect(await gateway.client.getTurn({ userId: 'term-h2c', turnId: 't-h2c' })).toMatchObject({ state: 'queued' });
  });
});

describe('a text frame', () => {
  it.each([
    ['{"type":"resize","columns":80,"rows":24}', { type: 'resize', columns: 80, rows: 24 }],
    ['{"type":"hand_back"}', { type: 'hand_back' }],
  ])('%s is read', (frame, read) => {
    expect(parseClientFrame(Buffer.from(frame))).toEqual(read);
  });

  it.each([
    '',
    '{',
    'null',
    '[]',
    '"hand_back"',
    '{"type":"taken"}',
    '{"type":"hand_back","more":1}',
    '{"type":"resize","columns":80}',
    '{"type":"resize","columns":0,"rows":24}',
    '{"type":"resize","columns":80,"rows":1e9}',
    '{"type":"resize","columns":80.5,"rows":24}',
    '{"type":"resize","columns":"80","rows":24}',
    '{"__proto__":{"type":"hand_back"}}',
    `{"type":"hand_back"}${' '.repeat(2_000)}`,
    '\u0000\u001b]0;title\u0007',
  ])('%j is refused', (frame) => {
    expect(() => parseClientFrame(Buffer.from(frame))).toThrow(InnkeeperError);
  });
});
