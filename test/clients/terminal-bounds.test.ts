/**
 * Goal: no person and no machine costs the gateway memory without bound, a lost one is let go, and nothing is lost to one who is only slow.
 * Method: a gateway in this process with bounds that a test can wait for, at a machine of a whole stack.
 */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TERMINAL_FRAME_BYTES_MAX } from '../../src/contracts/limits.js';
import type { GatewayParts } from '../../src/gateway/parts.js';
import { createDedalusProvider } from '../../src/machines/dedalus/provider.js';
import { newIdempotencyKey } from '../../src/machines/idempotency-key.js';
import { createPool } from '../../src/store/pool.js';
import { TURN_MS, untilPhase } from '../e2e/support/actions.js';
import { openStage, type Stage } from '../e2e/support/stage.js';
import { openGateway, TERMINALS, type TestGateway } from '../gateway/support/gateway.js';
import { takeTerminal, openTerminal, type TerminalClient } from '../support/terminal-client.js';
import { waitFor } from '../support/wait-for.js';

const UNSENT_BYTES_MAX = 64 * 1024;
/** A frame that the provider sends at once may come on top. */
const ONE_FRAME_BYTES = 1024 * 1024;
/** More than the kernel keeps for two ends of a connection. */
const LINES = 2_000_000;

let stage: Stage;
const gateways: TestGateway[] = [];

beforeAll(async () => {
  stage = await openStage();
});
afterAll(async () => {
  for (const gateway of gateways) await gateway.close();
  await stage.close();
});

/** On the stage's Postgres and machines, with bounds of its own. */
async function open(bounds: Partial<GatewayParts['terminals']>, at = stage): Promise<TestGateway> {
  const { url, apiKey } = at.stack.emulator;
  const {
    hasTerminals,
    execute,
    openTerminal: openAtProvider,
  } = createDedalusProvider({
    ...{ baseUrl: url, apiKey, newKey: newIdempotencyKey, requestTimeoutMs: 10_000 },
    ...{ takesAutosleep: 'auto', terminalProtocol: 'auto', sendIfMatch: true },
  });
  const machines = { hasTerminals, execute, openTerminal: openAtProvider };
  const terminals = { ...TERMINALS, ...bounds };
  const store = createPool({ url: at.databaseUrl, poolMax: 4, applicationName: 'test' });
  const on = { store, url: at.databaseUrl, taskQueue: at.stack.taskQueue, close: () => store.end() };
  const gateway = await openGateway({ machines, terminals }, { on });
  gateways.push(gateway);
  return gateway;
}

async function sitDown({ base, keys }: Pick<TestGateway, 'base' | 'keys'>, userId: string): Promise<TerminalClient> {
  await stage.stack.client.createUser({ userId });
  await stage.stack.client.wakeNow({ userId });
  await untilPhase(stage, userId, 'ready');
  return takeTerminal({ base, userId, key: keys.service });
}

async function lastReason(userId: string): Promise<unknown> {
  const rows = await stage.sql<{ reason: string | null }>(
    `select body ->> 'reason' as reason from turn_events where user_id = $1 and body ->> 'type' like 'terminal.%'
     order by seq desc limit 1`,
    [userId],
  );
  return rows[0]?.reason;
}

describe('a terminal', () => {
  it(
    'stalls for a reader who is slow, in bounded memory, and shows them everything in the end',
    { timeout: TURN_MS },
    async () => {
      const gateway = await open({ unsentBytesMax: UNSENT_BYTES_MAX, stallMs: TURN_MS });
      const person = await sitDown(gateway, 'term-slow');
      const [socket] = [...gateway.app.websocketServer.clients];
      person.socket.pause();
      person.keys(`stty -echo; seq 1 ${LINES}; echo all-told\r`);
      let highest = 0;
      await waitFor('the shell is stalled', () => {
        highest = Math.max(highest, socket?.bufferedAmount ?? 0);
        return highest > UNSENT_BYTES_MAX;
      });
      person.socket.resume();
      await waitFor('all is told', () => {
        highest = Math.max(highest, socket?.bufferedAmount ?? 0);
        return person.tail().includes('all-told\r\n');
      });
      expect(highest).toBeLessThan(UNSENT_BYTES_MAX + ONE_FRAME_BYTES);
      const numbers = person
        .seen()
        // The shell says that it is not asking for keys.
        .replaceAll('\u001b[?2004l\r', '')
        .split('\r\n')
        .filter((line) => /^\d+$/.test(line));
      expect(numbers).toHaveLength(LINES);
      expect(numbers.every((line, at) => line === String(at + 1))).toBe(true);
      person.send({ type: 'hand_back' });
      await person.closed;
    },
  );

  it(
    'lets a reader go who takes nothing for too long, and keeps their shell for a while',
    { timeout: TURN_MS },
    async () => {
      const gateway = await open({ unsentBytesMax: UNSENT_BYTES_MAX, stallMs: 500, graceMs: 30_000 });
      const person = await sitDown(gateway, 'term-stalled');
      const { leaseId } = await person.hear('taken');
      person.socket.pause();
      person.keys(`seq 1 ${LINES}; echo all-told\r`);
      await waitFor('the socket is given up', () => gateway.app.websocketServer.clients.size === 0);
      const again = await takeTerminal({
        base: gateway.base,
        userId: 'term-stalled',
        key: gateway.keys.service,
        query: `?lease=${leaseId}`,
      });
      expect(await again.hear('taken')).toMatchObject({ isResumed: true });
      await waitFor('all is told', () => again.tail().includes('all-told\r\n'));
      again.send({ type: 'hand_back' });
      await again.closed;
      person.socket.terminate();
    },
  );

  it('takes a large paste piece by piece, every byte of it', { timeout: TURN_MS }, async () => {
    const gateway = await open({ unsentBytesMax: 16 * 1024 });
    const person = await sitDown(gateway, 'term-paste');
    // Raw before the first byte comes: a line of a terminal that is not holds 4,096.
    await person.type('stty raw -echo; printf "%s\\n" "r"aw; head -c 400000 | md5sum; stty sane', /^raw/m);
    const bytes = Buffer.from('0123456789abcdef'.repeat(25_000));
    for (let at = 0; at < bytes.length; at += 16 * 1024) person.socket.send(bytes.subarray(at, at + 16 * 1024));
    await waitFor('the sum of it', () => /[0-9a-f]{32} {2}-/.test(person.seen()));
    expect(person.seen()).toContain(createHash('md5').update(bytes).digest('hex'));
    person.send({ type: 'hand_back' });
    await person.closed;
  });

  it('is handed back where nobody types, and where a connection does not come back', { timeout: TURN_MS }, async () => {
    const quiet = await open({ quietMs: 1_000 });
    const sitter = await sitDown(quiet, 'term-quiet');
    expect(await sitter.hear('handed_back')).toMatchObject({ reason: 'quiet' });
    expect(await sitter.closed).toBe(1000);
    const graceful = await open({ graceMs: 300 });
    const leaver = await sitDown(graceful, 'term-gone');
    leaver.socket.terminate();
    await waitFor('it is handed back', async () => (await lastReason('term-gone')) === 'disconnected');
  });

  it('ends a connection whose other side is silent', { timeout: TURN_MS }, async () => {
    const gateway = await open({ heartbeatMs: 100, graceMs: 300 });
    const person = await sitDown(gateway, 'term-silent');
    // Its pongs are not sent any more.
    person.socket.pause();
    await waitFor('it is handed back', async () => (await lastReason('term-silent')) === 'disconnected');
    person.socket.terminate();
  });

  it('refuses frames that are none, or too long, and is still there after that', { timeout: TURN_MS }, async () => {
    const gateway = await open({ graceMs: 30_000 });
    let person = await sitDown(gateway, 'term-odd');
    const { leaseId } = await person.hear('taken');
    await person.type('here=$$; echo "pid $here"', /pid \d+/);
    const query = `?lease=${leaseId}`;
    for (const frame of ['{', '{"type":"resize","columns":1e9,"rows":1}', 'x'.repeat(2_000)]) {
      person.send(frame);
      expect(await person.hear('error')).toMatchObject({ code: 'INVALID_INPUT' });
      expect(await person.closed).toBe(4400);
      person = await takeTerminal({ base: gateway.base, userId: 'term-odd', key: gateway.keys.service, query });
    }
    person.keys('x'.repeat(TERMINAL_FRAME_BYTES_MAX + 1));
    expect(await person.closed).toBe(1009);
    person = await takeTerminal({ base: gateway.base, userId: 'term-odd', key: gateway.keys.service, query });
    await person.type('echo "same $(( here == $$ ))"', 'same 1');
    person.send({ type: 'resize', columns: 133, rows: 44 });
    await person.type('stty size', '44 133');
    person.send({ type: 'hand_back' });
    await person.closed;
  });

  it('is one of so many', { timeout: TURN_MS }, async () => {
    const gateway = await open({ max: 1 });
    const person = await sitDown(gateway, 'term-one');
    const other = await openTerminal({ base: gateway.base, userId: 'term-two', key: gateway.keys.service });
    expect(await other.hear('error')).toMatchObject({ code: 'TERMINALS_EXCEEDED' });
    person.send({ type: 'hand_back' });
    await person.closed;
  });

  it('passes on what a hostile machine prints as it is, and reads none of it', { timeout: TURN_MS }, async () => {
    const gateway = await open({});
    const person = await sitDown(gateway, 'term-hostile');
    await person.type(
      String.raw`printf '{"type":"hand_back"}\n{"type":"taken","leaseId":"x"}\n\036frame\037\035\n'; echo "through $((1+1))"`,
      'through 2',
    );
    expect(person.told.map(({ type }) => type).filter((type) => type !== 'lease')).toEqual(['taken']);
    expect(person.seen()).toContain('{"type":"taken","leaseId":"x"}');
    person.send({ type: 'hand_back' });
    expect(await person.hear('handed_back')).toMatchObject({ reason: 'handed_back' });
  });
});

describe('a provider without terminals', () => {
  it('is told of by a code, before anything is taken once it is known', { timeout: TURN_MS }, async () => {
    const bare = await openStage({ profile: 'g6' });
    const gateway = await open({}, bare);
    const userId = 'term-bare';
    await bare.stack.client.createUser({ userId });
    await bare.stack.client.wakeNow({ userId });
    await untilPhase(bare, userId, 'ready');
    for (let round = 0; round < 2; round += 1) {
      const client = await openTerminal({ base: gateway.base, userId, key: gateway.keys.service });
      expect(await client.hear('error')).toMatchObject({ code: 'TERMINALS_UNSUPPORTED' });
      expect(await client.closed).toBe(4501);
    }
    const leases = await bare.sql('select 1 from machine_leases where ended_at is not null');
    expect(leases).toHaveLength(1);
    gateways.splice(gateways.indexOf(gateway), 1);
    await gateway.close();
    await bare.close();
  });
});
