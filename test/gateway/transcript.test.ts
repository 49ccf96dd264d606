/**
 * Goal: what was said and done is read by pages and goes on by the events without a gap; output comes byte for byte, to its own user
 * only. Method: a lane played by hand on real Postgres.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { beginCall } from '../../src/store/calls.js';
import { settleCall } from '../../src/store/settle.js';
import { setPhase } from '../../src/store/machines.js';
import { bash, makeReady, openLane, type TestLane } from '../store/support/lanes.js';
import { openGateway, type TestGateway } from './support/gateway.js';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await openGateway();
});
afterAll(() => gateway.close());

interface Output {
  readonly bytes: number;
  readonly head: Buffer;
  readonly tail: Buffer;
}

/** A turn with one command that ended; answers its id. */
async function command(lane: TestLane, turnId: string, output: Output): Promise<string> {
  const { store } = gateway.test;
  const { turnKey } = await lane.run(turnId, 'list the files');
  const machine = await makeReady(store, lane);
  await lane.answer({ turnKey } as never, 0, [bash('ls')]);
  const key = { turnKey, step: 0, index: 0 };
  const boot = { generation: machine.generation, bootId: 'boot-1', attachment: 1 };
  const begun = await beginCall(store, { ...lane, ...key, boot });
  if (begun.kind !== 'begin') throw new Error(`expected the call to begin, it is ${begun.kind}`);
  await settleCall(store, {
    ...{ workflowId: lane.workflowId, runId: lane.runId, ...key, try: begun.try, outcome: 'exited', reason: null },
    result: { exitCode: 0, outputBytes: output.bytes, outputHead: output.head, outputTail: output.tail },
    shown: 'shown',
  });
  return begun.call.cmdId;
}

const small = (text: string): Output => ({
  bytes: Buffer.byteLength(text),
  head: Buffer.from(text),
  tail: Buffer.alloc(0),
});

describe('the transcript', () => {
  it('has the words, and the calls beside the answer that asked for them', async () => {
    const lane = openLane(gateway.test.store, 'script-tess');
    const cmdId = await command(lane, 't1', small('\u001b[1ma\u001b[0m\n'));
    const { status, json } = await gateway.ask('/v1/users/script-tess/transcript');
    expect(status).toBe(200);
    expect(json['items']).toMatchObject([
      {
        ...{ kind: 'assistant', turnId: 't1', turnState: 'running', step: 0, text: 'answer 0' },
        calls: [{ cmdId, tool: 'bash', title: 'ls', outcome: 'exited', exitCode: 0, output: 'shown', outputBytes: 10 }],
      },
      { kind: 'user', turnId: 't1', text: 'list the files', calls: [] },
    ]);
    expect(json['next']).toBeNull();
  });

  it('goes on where the page before ended, and with the events after it', async () => {
    const lane = openLane(gateway.test.store, 'script-tara');
    for (const turnId of ['t1', 't2', 't3']) {
      await lane.answer(await lane.run(turnId, `say ${turnId}`), 0, []);
    }
    const seqs = ({ json }: { json: Record<string, unknown> }): unknown[] =>
      (json['items'] as { seq: number }[]).map(({ seq }) => seq);
    const first = await gateway.ask('/v1/users/script-tara/transcript?limit=4');
    const second = await gateway.ask(`/v1/users/script-tara/transcript?limit=4&cursor=${String(first.json['next'])}`);
    expect([...seqs(first), ...seqs(second)]).toEqual([6, 5, 4, 3, 2, 1]);
    expect(second.json['next']).toBeNull();
    await lane.run('t4');
    const reader = gateway.read(`/v1/users/script-tara/events?turn=t4&after=${String(first.json['events'])}`);
    await lane.close('t4');
    await reader.ended;
    expect(reader.seen.map(({ event }) => event)).toEqual(['turn.queued', 'turn.started', 'turn.ended']);
  });

  it('of nobody is refused', async () => {
    expect(await gateway.ask('/v1/users/nobody/transcript')).toMatchObject({
      status: 404,
      json: { code: 'USER_UNKNOWN' },
    });
    expect(await gateway.ask('/v1/users/script-tara/transcript?cursor=x')).toMatchObject({ status: 400 });
  });
});

describe('output', () => {
  it('comes byte for byte, whole or by a range, and is nothing that a browser would run', async () => {
    const lane = openLane(gateway.test.store, 'script-otto');
    const cmdId = await command(lane, 't1', small('<script>\u001b[31mred'));
    const path = `/v1/users/script-otto/outputs/${cmdId}`;
    const whole = await gateway.ask(path);
    expect(whole).toMatchObject({ status: 200, text: '<script>\u001b[31mred' });
    expect(Object.fromEntries(whole.headers)).toMatchObject({
      ...{ 'content-type': 'application/octet-stream', 'content-disposition': 'attachment' },
      ...{ 'x-content-type-options': 'nosniff', 'x-output-bytes': '16', 'content-length': '16' },
    });
    const range = await gateway.ask(path, { headers: { range: 'bytes=0-7' } });
    expect(range).toMatchObject({ status: 206, text: '<script>' });
    expect(range.headers.get('content-range')).toBe('bytes 0-7/16');
    expect(await gateway.ask(path, { headers: { range: 'bytes=-3' } })).toMatchObject({ status: 206, text: 'red' });
    expect(await gateway.ask(path, { headers: { range: 'bytes=16-' } })).toMatchObject({
      ...{ status: 416, json: { code: 'RANGE_NOT_SATISFIABLE' } },
    });
    expect((await gateway.ask(path, { headers: { range: 'lines=1' } })).status).toBe(200);
  });

  it('whose middle was not kept says how much is missing', async () => {
    const lane = openLane(gateway.test.store, 'script-olga');
    const output = { bytes: 1_000, head: Buffer.from('begin'), tail: Buffer.from('end') };
    const cmdId = await command(lane, 't1', output);
    const { text, headers } = await gateway.ask(`/v1/users/script-olga/outputs/${cmdId}`);
    expect(text).toBe('begin\n[992 bytes were not kept]\nend');
    expect(headers.get('x-output-bytes')).toBe('1000');
  });

  it('of another user, or of nothing, is not there', async () => {
    const cmdId = await command(openLane(gateway.test.store, 'script-owen'), 't1', small('secret'));
    openLane(gateway.test.store, 'script-pia');
    for (const path of [
      `/v1/users/script-otto/outputs/${cmdId}`,
      '/v1/users/script-owen/outputs/none',
      `/v1/users/nobody/outputs/${cmdId}`,
    ]) {
      expect(await gateway.ask(path)).toMatchObject({ status: 404, json: { code: 'OUTPUT_UNKNOWN' } });
    }
  });
});

describe('a user', () => {
  it('is shown with why the machine is awake, until when, and what it cost so far', async () => {
    const lane = openLane(gateway.test.store, 'script-uma');
    const { store } = gateway.test;
    await lane.run('t1');
    const { generation } = await makeReady(store, lane);
    const details = async (key?: string): Promise<Record<string, unknown>> =>
      (await gateway.ask('/v1/users/script-uma', key === undefined ? {} : { key })).json;
    expect(await details()).toMatchObject({
      machine: { phase: 'ready', awakeFor: 'turn', sleepsAt: null },
      laneUrl: null,
    });
    await lane.close('t1');
    const quiet = await details(gateway.keys.operator);
    const { awakeFor, sleepsAt } = quiet['machine'] as { awakeFor: string; sleepsAt: string };
    expect(awakeFor).toBe('idle_time');
    expect(Date.parse(sleepsAt) - Date.parse(quiet['lastTurnAt'] as string)).toBe(60_000);
    expect(quiet).toMatchObject({
      cost: null,
      awakeSeconds: expect.any(Number) as number,
      laneUrl: 'http://ui/user-machine/script-uma',
    });
    await setPhase(store, { ...lane, generation, phase: 'sleeping' });
    expect(await details()).toMatchObject({ machine: { phase: 'sleeping', awakeFor: null, sleepsAt: null } });
  });
});
