/** The shortest way through everything: a first message makes a machine, runs a command on it, and is answered. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, testTemporal, type TestDatabase } from '../support/servers.js';
import { startStack, type Stack } from '../support/stack.js';

describe('a first message', () => {
  let database: TestDatabase;
  let stack: Stack;

  beforeAll(async () => {
    database = await createTestDatabase();
    const { address } = await testTemporal();
    stack = await startStack({ databaseUrl: database.url, temporalAddress: address });
  });
  afterAll(async () => {
    await stack.stop();
    await database.drop();
  });

  it('is answered with what the command printed on the machine made for it', async () => {
    const turn = { userId: 'first-turn', turnId: 'first' };
    const submitted = await stack.client.submitTurn({ ...turn, prompt: 'Please run:\n$ echo hello from $((20 + 3))' });
    expect(submitted).toMatchObject({ position: 1, isNew: true });

    const result = await stack.client.turnResult({ ...turn, timeoutMs: 60_000 });
    expect(result.errorCode, stack.workerLog()).toBeNull();
    expect(result).toMatchObject({ state: 'completed', steps: 2, toolCalls: 1 });
    expect(result.answer).toContain('hello from 23');
    expect(await stack.emulator.machines()).toHaveLength(1);
  });
});
