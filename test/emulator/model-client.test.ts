/**
 * Goal: our model adapter and the emulator's built-in model understand each other, in good turns and in every fault that a person
 * can ask for. Method: both, over real HTTP, with the context builder between them.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Fastify, { type FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEmulator } from '../../src/emulator/index.js';
import { registerModelRoutes } from '../../src/emulator/model/index.js';
import type { ChatAnswer, ChatModel, ChatTool } from '../../src/model/chat-model.js';
import { buildContext, type TranscriptEntry } from '../../src/model/context.js';
import { createChatModel } from '../../src/model/dedalus-chat.js';
import { EmulatorAdmin } from '../support/emulator-admin.js';

const KEY = 'test-model-key';
const bash: ChatTool = { name: 'bash', description: 'runs a command', parameters: { type: 'object' } };

let app: FastifyInstance;
let model: ChatModel;

beforeAll(async () => {
  app = Fastify();
  registerModelRoutes(app, { apiKey: KEY });
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  model = createChatModel({ baseUrl: `${url}/v1`, apiKey: KEY, model: 'emulator/shell', requestTimeoutMs: 1_000 });
});
afterAll(async () => {
  await app.close();
});

async function ask(entries: TranscriptEntry[]): Promise<ChatAnswer> {
  const messages = buildContext({ systemPrompt: 's', turns: [{ turnId: '1', entries }], bytesMax: 100_000 });
  return await model.complete({ messages, tools: [bash], signal: new AbortController().signal });
}

test('a turn of many steps, with notes between, is played to its end', async () => {
  const prompt = Array.from({ length: 20 }, (_, index) => `$ step ${index}`).join('\n');
  const entries: TranscriptEntry[] = [{ kind: 'user', text: prompt }];
  const commands: string[] = [];
  for (;;) {
    const answer = await ask(entries);
    expect(answer.usage).toBeDefined();
    if (answer.toolCalls.length === 0) {
      expect(answer).toMatchObject({ finish: 'stop', model: 'emulator/shell' });
      expect(answer.content).toContain('$ step 19\nresult of step 19');
      break;
    }
    entries.push({ kind: 'assistant', text: answer.content, toolCalls: answer.toolCalls });
    for (const call of answer.toolCalls) {
      const { command } = JSON.parse(call.argumentsJson) as { command: string };
      commands.push(command);
      entries.push({ kind: 'tool', toolCallId: call.id, text: `result of ${command}\nexit code 0` });
    }
    if (commands.length === 3) entries.push({ kind: 'note', text: 'The machine was replaced.' });
  }
  expect(commands).toEqual(Array.from({ length: 20 }, (_, index) => `step ${index}`));
});

describe('faults that a prompt asks for', () => {
  test.each([
    ['429 1 250', { code: 'MODEL_RATE_LIMITED', retryAfterMs: 250 }],
    ['401', { code: 'MODEL_UNAUTHORIZED' }],
    ['400', { code: 'MODEL_REJECTED' }],
    ['503', { code: 'MODEL_UNAVAILABLE' }],
    ['reset', { code: 'MODEL_UNAVAILABLE' }],
    ['hang', { code: 'MODEL_UNAVAILABLE' }],
  ])('!model %s fails once, then the turn goes on', async (directive, expected) => {
    const entries: TranscriptEntry[] = [{ kind: 'user', text: `!model ${directive}\n$ true` }];
    await expect(ask(entries)).rejects.toMatchObject(expected);
    expect((await ask(entries)).toolCalls[0]).toMatchObject({ name: 'bash', argumentsJson: '{"command":"true"}' });
  });

  test.each([
    ['empty', { content: '', finish: 'stop', toolCalls: [] }],
    ['refuse', { content: 'I cannot help with that.', finish: 'refused' }],
    ['filter', { content: '', finish: 'refused' }],
    ['length', { finish: 'length', toolCalls: [] }],
    ['malformed', { finish: 'tool_calls', toolCalls: [{ name: 'bash', argumentsJson: '{"command": "echo cut o' }] }],
    ['unknown-tool', { finish: 'tool_calls', toolCalls: [{ name: 'no_such_tool' }] }],
  ])('!model %s is answered as such', async (directive, expected) => {
    expect(await ask([{ kind: 'user', text: `!model ${directive}\n$ true` }])).toMatchObject(expected);
  });
});

test('a running emulator serves it at its modelUrl, and its admin routes count the calls', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'model-'));
  const quiet = { info() {}, warn() {}, error() {} };
  const emulator = await startEmulator({ profile: 'g2', dataDir, port: 0, log: quiet });
  try {
    const admin = new EmulatorAdmin(emulator.url, emulator.apiKey);
    await admin.call('POST', '/_emulator/model', {
      conversations: [{ match: 'hello', steps: [{ text: 'scripted' }] }],
    });
    const served = createChatModel({
      baseUrl: emulator.modelUrl,
      apiKey: emulator.apiKey,
      model: 'any',
      requestTimeoutMs: 5_000,
    });
    const answer = await served.complete({
      messages: [{ role: 'user', content: 'hello' }],
      tools: [],
      signal: new AbortController().signal,
    });
    expect(answer.content).toBe('scripted');
    const { calls } = await admin.get<{ calls: { prompt: string }[] }>('/_emulator/model/calls');
    expect(calls.map((call) => call.prompt)).toEqual(['hello']);
  } finally {
    await emulator.close();
    await rm(dataDir, { recursive: true, force: true });
  }
});
