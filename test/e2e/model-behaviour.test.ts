/**
 * What a turn makes of each thing that a model may do wrong.
 *
 * Method: the emulator's built-in model misbehaves where the prompt asks for it, or by a script; a recording model shows what was
 * sent. Every case is a user of its own on one stack. What happened is read from Postgres, the model's own record of its calls and
 * the guest's files.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CONTEXT_TURNS_MAX, EMPTY_ANSWERS_MAX, TOOL_CALLS_PER_STEP_MAX } from '../../src/contracts/limits.js';
import type { TurnView } from '../../src/client.js';
import { startRecordingModel } from '../support/recording-model.js';
import { openStage, type Stage } from './support/stage.js';

const FIRST_DELTA_MS = 700;

interface ModelCall {
  readonly prompt: string;
  readonly kind: string;
  readonly at: string;
}

let stage: Stage;
let users = 0;

beforeAll(async () => {
  stage = await openStage({ env: { MODEL_FIRST_DELTA_TIMEOUT_MS: String(FIRST_DELTA_MS) } });
});
afterAll(async () => stage.close());

interface Told {
  readonly userId: string;
  readonly turn: TurnView;
  /** What the model did, call by call. */
  readonly kinds: string[];
}

async function tell(prompt: string, userId = `model-user-${(users += 1)}`, turnId = 'turn'): Promise<Told> {
  const { lastSeq } = await stage.stack.emulator.get<{ lastSeq: number }>('/_emulator/model/calls?after=99999999');
  await stage.stack.client.submitTurn({ userId, turnId, prompt });
  const turn = await stage.stack.client.turnResult({ userId, turnId, timeoutMs: 60_000 });
  const { calls } = await stage.stack.emulator.get<{ calls: ModelCall[] }>(`/_emulator/model/calls?after=${lastSeq}`);
  return { userId, turn, kinds: calls.map(({ kind }) => kind) };
}

const callsOf = (userId: string, turnId = 'turn') =>
  stage.sql<{ step: number; tool: string; outcome: string; reason: string | null; shown: string; call_bytes: number }>(
    `select c.step, c.tool, c.outcome, c.reason, c.shown, octet_length(c.arguments_json) as call_bytes
     from tool_calls c join turns t using (turn_key) where t.user_id = $1 and t.turn_id = $2 order by c.step, c.index`,
    [userId, turnId],
  );

describe('a model that does not answer the question', () => {
  it('refuses: the turn fails as MODEL_REFUSED, is not asked again, and its words are kept', async () => {
    const { userId, turn, kinds } = await tell('!model refuse');
    expect(turn).toMatchObject({ state: 'failed', errorCode: 'MODEL_REFUSED', answer: null });
    expect(kinds).toEqual(['refuse']);
    const said = await stage.transcript({ userId, turnId: 'turn' });
    expect(said.map(({ kind }) => kind)).toEqual(['user', 'assistant']);
    expect(said[1]?.text).not.toBe('');
  });

  it('is cut off by a content filter: the turn fails as MODEL_REFUSED, and the next one is answered', async () => {
    const { userId, turn } = await tell('!model filter');
    expect(turn).toMatchObject({ state: 'failed', errorCode: 'MODEL_REFUSED' });
    expect((await tell('$ echo on we go', userId, 'next')).turn.answer).toContain('on we go');
  });

  it('answers nothing, then something: the turn is answered', async () => {
    const { turn, kinds } = await tell(`!model empty ${EMPTY_ANSWERS_MAX - 1}\n$ echo patience`);
    expect(turn).toMatchObject({ state: 'completed', toolCalls: 1 });
    expect(kinds).toEqual([...Array<string>(EMPTY_ANSWERS_MAX - 1).fill('empty'), 'answer', 'answer']);
  });

  it('answers nothing again and again: the turn fails as MODEL_EMPTY_ANSWER', async () => {
    const { turn, kinds } = await tell('!model empty 9');
    expect(turn).toMatchObject({ state: 'failed', errorCode: 'MODEL_EMPTY_ANSWER', steps: 0 });
    expect(kinds).toEqual(Array(EMPTY_ANSWERS_MAX).fill('empty'));
  });

  it('is cut short at its length: the turn is answered with what there is, and says so', async () => {
    const { turn } = await tell('!model length');
    expect(turn).toMatchObject({ state: 'completed', errorCode: null });
    expect(turn.answer).toMatch(/\S[\s\S]*\[The answer reached the length limit of the model and ends here\.\]$/);
  });
});

describe('a model whose tool calls cannot be run', () => {
  it.each([
    ['malformed', 'bash', 'not valid JSON'],
    ['unknown-tool', '', 'There is no tool named'],
  ])(
    '%s: the call is answered with what is wrong, nothing runs for it, and the turn goes on',
    async (fault, tool, words) => {
      const { userId, turn, kinds } = await tell(`!model ${fault}\n$ echo after all`);
      expect(turn).toMatchObject({ state: 'completed', toolCalls: 2, steps: 3 });
      expect(kinds).toEqual([fault, 'answer', 'answer']);
      const [refused, run] = await callsOf(userId);
      expect(refused).toMatchObject({ outcome: 'invalid', reason: 'invalid_call' });
      expect(refused?.tool).toContain(tool);
      expect(refused?.shown).toContain('This call was not run.');
      expect(refused?.shown).toContain(words);
      expect(run).toMatchObject({ outcome: 'exited' });
      expect(await stage.journal(userId)).toHaveLength(1);
    },
  );

  it('too many at once: as many as are taken run, the others are refused to the model', async () => {
    const asked = TOOL_CALLS_PER_STEP_MAX + 4;
    const lines = Array.from({ length: asked }, (_, index) => `$+ echo ${index} >> ~/count.txt`);
    const { userId, turn } = await tell(lines.join('\n'));
    expect(turn.state).toBe('completed');
    const calls = await callsOf(userId);
    expect(calls.map(({ outcome }) => outcome)).toEqual([
      ...Array<string>(TOOL_CALLS_PER_STEP_MAX).fill('exited'),
      ...Array<string>(4).fill('invalid'),
    ]);
    expect(calls.at(-1)?.shown).toContain(`Only ${TOOL_CALLS_PER_STEP_MAX} tool calls are taken at once`);
    expect(await stage.lines(userId, 'count.txt')).toEqual(
      Array.from({ length: TOOL_CALLS_PER_STEP_MAX }, (_, index) => String(index)),
    );
  });

  it('with arguments beyond any reason: refused to the model, kept out of the record', async () => {
    const content = 'x'.repeat(150 * 1024);
    await stage.stack.emulator.call('POST', '/_emulator/model', {
      conversations: [
        {
          match: 'write a lot',
          steps: [
            { toolCalls: [{ name: 'write_file', arguments: { path: '~/big.txt', content } }] },
            { text: 'In parts, then.' },
          ],
        },
      ],
    });
    const { userId, turn } = await tell('write a lot');
    expect(turn).toMatchObject({ state: 'completed', answer: 'In parts, then.' });
    const [call] = await callsOf(userId);
    expect(call).toMatchObject({ tool: 'write_file', outcome: 'invalid', call_bytes: 2 });
    expect(call?.shown).toContain('write large files in parts');
  });
});

describe('a model service in trouble', () => {
  it('breaks off in mid answer: asked again, nothing of the broken answer is kept', async () => {
    const { userId, turn, kinds } = await tell('!model reset 2\n$ echo whole');
    expect(turn).toMatchObject({ state: 'completed', toolCalls: 1 });
    expect(kinds).toEqual(['reset', 'reset', 'answer', 'answer']);
    expect((await stage.transcript({ userId, turnId: 'turn' })).map(({ kind }) => kind)).toEqual([
      'user',
      'assistant',
      'assistant',
    ]);
  });

  it('asks to slow down: it is asked again when it said', async () => {
    const { lastSeq } = await stage.stack.emulator.get<{ lastSeq: number }>('/_emulator/model/calls?after=99999999');
    const { turn } = await tell('!model 429 2 400');
    expect(turn.state).toBe('completed');
    const { calls } = await stage.stack.emulator.get<{ calls: ModelCall[] }>(`/_emulator/model/calls?after=${lastSeq}`);
    const at = calls.map((call) => Date.parse(call.at));
    expect(at).toHaveLength(3);
    for (const [index, later] of at.slice(1).entries()) expect(later - (at[index] ?? 0)).toBeGreaterThanOrEqual(400);
  });

  it('stays away: the turn fails as MODEL_UNAVAILABLE once it was asked often enough', async () => {
    const { turn, kinds } = await tell('!model 503 99 10');
    expect(turn).toMatchObject({ state: 'failed', errorCode: 'MODEL_UNAVAILABLE', steps: 0 });
    expect(kinds).toHaveLength(8);
  });

  it.each([
    ['401', 'MODEL_UNAUTHORIZED'],
    ['400', 'MODEL_REJECTED'],
  ])('answers %s: the turn fails as %s at once, and the next one is answered', async (status, errorCode) => {
    const { userId, turn, kinds } = await tell(`!model ${status}`);
    expect(turn).toMatchObject({ state: 'failed', errorCode, steps: 0 });
    expect(kinds).toHaveLength(1);
    expect((await tell('hello', userId, 'next')).turn.state).toBe('completed');
  });

  it('hangs: given up when nothing comes, and asked again', async () => {
    const { turn, kinds } = await tell('!model hang\n$ echo awake');
    expect(turn).toMatchObject({ state: 'completed', toolCalls: 1 });
    expect(kinds).toEqual(['hang', 'answer', 'answer']);
  });
});

describe('what is kept of a step', () => {
  it('is its token usage, one row a step, summed up for the turn', async () => {
    const { userId, turn } = await tell('$ echo one\n$ echo two');
    const steps = await stage.sql<{ step: number; input_tokens: number; output_tokens: number; finish: string }>(
      `select s.step, s.input_tokens, s.output_tokens, s.finish from steps s join turns t using (turn_key)
       where t.user_id = $1 order by s.step`,
      [userId],
    );
    expect(steps.map(({ step, finish }) => [step, finish])).toEqual([
      [0, 'tool_calls'],
      [1, 'tool_calls'],
      [2, 'stop'],
    ]);
    for (const step of steps) {
      expect(step.input_tokens).toBeGreaterThan(0);
      expect(step.output_tokens).toBeGreaterThan(0);
    }
    const sum = (of: (step: (typeof steps)[number]) => number): number =>
      steps.reduce((total, step) => total + of(step), 0);
    expect(turn.inputTokens).toBe(sum((step) => step.input_tokens));
    expect(turn.outputTokens).toBe(sum((step) => step.output_tokens));
  });
});

describe('a conversation longer than the context', () => {
  it('loses its oldest turns as a whole, with a note, and keeps the settings of the deployment', async () => {
    const bytesMax = 16 * 1024;
    const model = await startRecordingModel();
    const branch = stage.stack.openBranch({
      env: {
        MODEL_BASE_URL: model.url,
        MODEL_CONTEXT_BYTES_MAX: String(bytesMax),
        MODEL_EXTRA_BODY: '{"temperature": 0.25, "stream_options": null}',
      },
    });
    try {
      await branch.startWorker();
      const count = 8;
      for (let turn = 0; turn < count; turn += 1) {
        const of = { userId: 'model-talker', turnId: `turn-${turn}` };
        await branch.client.submitTurn({ ...of, prompt: `prompt ${turn} ${'.'.repeat(3_000)}` });
        expect(await branch.client.turnResult({ ...of, timeoutMs: 60_000 })).toMatchObject({ state: 'completed' });
      }
      expect(model.requests).toHaveLength(count);
      const [system, ...said] = model.requests.at(-1)?.messages ?? [];
      expect(system?.role).toBe('system');
      expect(system?.content).toContain('model-talker');
      const [note, ...kept] = said.map(({ content }) => content ?? '');
      expect(note).toContain('<system-note>\nThe oldest turns of this conversation are left out here');
      // Whole turns, the latest ones: each prompt with its answer, and the last prompt without one.
      const first = count - (kept.length + 1) / 2;
      expect(first).toBeGreaterThan(1);
      const expected = Array.from({ length: count - first }, (_, index) => [
        expect.stringMatching(new RegExp(`^prompt ${first + index} `)),
        `answer ${first + index}`,
      ]).flat();
      expect(kept).toEqual(expected.slice(0, -1));
      expect(Buffer.byteLength(JSON.stringify(model.requests.at(-1)?.messages))).toBeLessThanOrEqual(bytesMax);
      expect(count).toBeLessThan(CONTEXT_TURNS_MAX);
      expect(model.requests[0]).toMatchObject({ temperature: 0.25 });
      expect(model.requests[0]).not.toHaveProperty('stream_options');
    } finally {
      await branch.stop();
      await model.stop();
    }
  });
});
