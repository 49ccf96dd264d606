/** Goal: every call that a model can ask for is stored as one that can be run, or as a refusal that the model understands. */
import { describe, expect, it } from 'vitest';
import { toNewCalls } from '../../../src/activities/new-calls.js';
import {
  TOOL_ARGUMENTS_BYTES_MAX,
  TOOL_CALLS_KEPT_MAX,
  TOOL_CALLS_PER_STEP_MAX,
} from '../../../src/contracts/limits.js';

const bash = (command: string, id = 'c1') => ({ id, name: 'bash', argumentsJson: JSON.stringify({ command }) });

describe('toNewCalls', () => {
  it('takes a call that compiles as the model wrote it', () => {
    expect(toNewCalls([bash('ls -l')])).toEqual([
      { callId: 'c1', tool: 'bash', argumentsJson: '{"command":"ls -l"}', title: 'ls -l' },
    ]);
  });

  it.each([
    ['an unknown tool', { id: 'c', name: 'rm', argumentsJson: '{}' }, /no tool named "rm"/],
    ['broken JSON', { id: 'c', name: 'bash', argumentsJson: '{"command": "ls' }, /not valid JSON/],
    ['a missing argument', { id: 'c', name: 'bash', argumentsJson: '{}' }, /"command" must be text/],
    ['another argument', { id: 'c', name: 'bash', argumentsJson: '{"command":"ls","cwd":"/"}' }, /no argument "cwd"/],
  ])('refuses %s in words for the model', (_what, call, words) => {
    const [stored] = toNewCalls([call]);
    expect(stored?.invalid).toEqual({ reason: 'invalid_call', shown: expect.stringMatching(words) as string });
    expect(stored?.invalid?.shown).toMatch(/^This call was not run\. /);
    expect(stored?.argumentsJson).toBe(call.argumentsJson);
  });

  it('refuses arguments beyond the limit and keeps none of them', () => {
    const call = bash('x'.repeat(TOOL_ARGUMENTS_BYTES_MAX));
    expect(toNewCalls([call])[0]).toMatchObject({ argumentsJson: '{}', invalid: { reason: 'invalid_call' } });
    const fitting = bash('x'.repeat(TOOL_ARGUMENTS_BYTES_MAX - '{"command":""}'.length));
    expect(toNewCalls([fitting])[0]?.invalid).toBeUndefined();
  });

  it('refuses what is beyond the calls of a step, and leaves out what is beyond any reason', () => {
    const calls = toNewCalls(Array.from({ length: 500 }, (_, index) => bash(`echo ${index}`, `c${index}`)));
    expect(calls).toHaveLength(TOOL_CALLS_KEPT_MAX);
    expect(calls.findIndex(({ invalid }) => invalid !== undefined)).toBe(TOOL_CALLS_PER_STEP_MAX);
    expect(calls.slice(TOOL_CALLS_PER_STEP_MAX).every(({ invalid }) => invalid !== undefined)).toBe(true);
  });

  it("lets no text through a tool's name", () => {
    const names = ['a name with spaces; and more', 'ä'.repeat(200), ''];
    const tools = toNewCalls(names.map((name) => ({ id: 'c', name, argumentsJson: '{}' }))).map(({ tool }) => tool);
    for (const tool of tools) expect(tool).toMatch(/^[\w-]{1,64}$/);
  });
});
