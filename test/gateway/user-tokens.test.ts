/**
 * Goal: a token reaches its own user and nobody else, and nothing but a token of the issuer for us, in its time, is taken. Method: an
 * issuer that publishes its keys over HTTP, and every forgery that we know of.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type CryptoKey } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createUserTokens } from '../../src/gateway/user-tokens.js';
import { openGateway, type TestGateway } from './support/gateway.js';

const ISSUER = 'https://chat.example';
const AUDIENCE = 'innkeeper';

let gateway: TestGateway;
let issuer: Server;
let privateKey: CryptoKey;
let publicJwk: Awaited<ReturnType<typeof exportJWK>>;
let isAway = false;

beforeAll(async () => {
  const pair = await generateKeyPair('ES256', { extractable: true });
  privateKey = pair.privateKey;
  publicJwk = await exportJWK(pair.publicKey);
  issuer = createServer((_request, answer) => {
    if (isAway) answer.writeHead(503).end();
    else
      answer
        .setHeader('content-type', 'application/json')
        .end(JSON.stringify({ keys: [{ ...publicJwk, kid: 'k1', alg: 'ES256' }] }));
  });
  await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve));
  gateway = await openGateway({ tokens: createTokens() });
  await gateway.client.createUser({ userId: 'token-ada' });
  await gateway.client.createUser({ userId: 'token-bea' });
});
afterAll(async () => {
  await gateway.close();
  issuer.close();
});

function createTokens() {
  const { port } = issuer.address() as AddressInfo;
  return createUserTokens({ jwksUrl: `http://127.0.0.1:${port}/jwks.json`, issuer: ISSUER, audience: AUDIENCE });
}

interface Claims {
  readonly sub?: string;
  readonly iss?: string;
  readonly aud?: string;
  /** null: none. */
  readonly exp?: number | null;
  readonly kid?: string;
  readonly nbf?: number;
}

const nowSeconds = (): number => Math.floor(Date.now() / 1_000);

function token(claims: Claims = {}, key: CryptoKey | Uint8Array = privateKey, alg = 'ES256'): Promise<string> {
  const { kid = 'k1', exp = nowSeconds() + 60, ...own } = claims;
  const payload = { sub: 'token-ada', iss: ISSUER, aud: AUDIENCE, ...own, ...(exp === null ? {} : { exp }) };
  return new SignJWT(payload).setProtectedHeader({ alg, kid }).sign(key);
}

describe('a token', () => {
  it('reaches its user: reads, submits, follows', async () => {
    const key = await token();
    expect(await gateway.ask('/v1/users/token-ada', { key })).toMatchObject({ status: 200, json: { laneUrl: null } });
    expect((await gateway.submit('token-ada', { prompt: 'hello' }, { key })).status).toBe(202);
  });

  it('reaches nobody else, and says the same of users that do and do not exist', async () => {
    const key = await token();
    const answers = await Promise.all(['token-bea', 'nobody'].map((user) => gateway.ask(`/v1/users/${user}`, { key })));
    for (const { status, json } of answers) expect([status, json['code']]).toEqual([403, 'FORBIDDEN']);
    expect(answers[0]?.json['detail']).toBe(answers[1]?.json['detail']);
    expect((await gateway.ask('/v1/users', { key })).status).toBe(403);
    for (const path of ['turns', 'queue', 'transcript', 'events', 'usage', 'outputs/x']) {
      expect((await gateway.ask(`/v1/users/token-bea/${path}`, { key })).status).toBe(403);
    }
    expect((await gateway.submit('token-bea', { prompt: 'hello' }, { key })).status).toBe(403);
  });
});

describe("a token over OpenAI's routes", () => {
  const say = async (body: object, headers: Record<string, string> = {}) =>
    gateway.ask('/v1/responses', {
      ...{ method: 'POST', key: await token(), headers, body: { input: 'hello', background: true, ...body } },
    });

  it('names its user, who may be named besides', async () => {
    const answers = [
      await say({}),
      await say({ user: 'token-ada' }),
      await say({}, { 'x-innkeeper-user': 'token-ada' }),
    ];
    for (const answer of answers) expect(answer).toMatchObject({ status: 200, json: { user: 'token-ada' } });
    const path = `/v1/responses/${String(answers[0]?.json['id'])}`;
    expect((await gateway.ask(path, { key: await token() })).status).toBe(200);
  });

  it('reaches nobody else, and learns of no response of theirs', async () => {
    const forbidden = { status: 403, json: { error: { code: 'FORBIDDEN', type: 'permission_error' } } };
    expect(await say({ user: 'token-bea' })).toMatchObject(forbidden);
    expect(await say({}, { 'x-innkeeper-user': 'nobody' })).toMatchObject(forbidden);
    const of = { input: 'hello', background: true, user: 'token-bea' };
    const { json } = await gateway.ask('/v1/responses', { method: 'POST', body: of });
    const key = await token();
    for (const id of [String(json['id']), `resp_${Buffer.from('token-bea/none').toString('base64url')}`]) {
      const unknown = { status: 404, json: { error: { code: 'TURN_UNKNOWN' } } };
      expect(await gateway.ask(`/v1/responses/${id}`, { key })).toMatchObject(unknown);
      expect(await gateway.ask(`/v1/responses/${id}/cancel`, { method: 'POST', key })).toMatchObject(unknown);
      expect(await say({ previous_response_id: id })).toMatchObject(unknown);
    }
  });
});

describe('is refused:', () => {
  const hour = 3_600;
  it.each<[string, () => Promise<string> | string]>([
    [
      'one without a signature',
      () => new UnsecuredJWT({ sub: 'token-ada', iss: ISSUER, aud: AUDIENCE, exp: nowSeconds() + hour }).encode(),
    ],
    ['one for another audience', () => token({ aud: 'somebody-else' })],
    ['one of another issuer', () => token({ iss: 'https://evil.example' })],
    ['one that has expired', () => token({ exp: nowSeconds() - hour })],
    ['one that never expires', () => token({ exp: null })],
    ['one that is not valid yet', () => token({ nbf: nowSeconds() + hour })],
    ['one of a key that nobody published', () => token({ kid: 'k2' })],
    [
      'one that another key signed under a published name',
      async () => token({}, (await generateKeyPair('ES256')).privateKey),
    ],
    ['one that the published key signed as a secret', () => token({}, Buffer.from(JSON.stringify(publicJwk)), 'HS256')],
    ['one without a user', () => token({ sub: '' })],
    ['one whose user has a slash', () => token({ sub: 'a/b' })],
    ['one that was altered', async () => altered(await token())],
    ['one that is cut', async () => (await token()).slice(0, 40)],
  ])('%s', async (_name, make) => {
    const answer = await gateway.ask('/v1/users/token-ada', { key: await make() });
    expect(answer).toMatchObject({ status: 401, json: { code: 'UNAUTHENTICATED' } });
  });
});

it('an issuer that is away is no verdict on a token', async () => {
  isAway = true;
  try {
    const tokens = createTokens();
    expect(await tokens.hasKeys()).toBe(false);
    await expect(tokens.verify(await token())).rejects.toMatchObject({ code: 'TOKEN_KEYS_UNAVAILABLE' });
    isAway = false;
    expect(await tokens.hasKeys()).toBe(true);
    expect(await tokens.verify(await token())).toBe('token-ada');
  } finally {
    isAway = false;
  }
});

/** The payload names another user. */
function altered(jwt: string): string {
  const [head, , signature] = jwt.split('.');
  const payload = { sub: 'token-bea', iss: ISSUER, aud: AUDIENCE, exp: nowSeconds() + 60 };
  return [head, Buffer.from(JSON.stringify(payload)).toString('base64url'), signature].join('.');
}
