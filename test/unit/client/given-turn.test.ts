/** Goal: a call becomes a turn that people and models can read, and equal calls become equal turns. */
import { describe, expect, it } from 'vitest';
import { toGivenAnswer } from '../../../src/activities/given-answer.js';
import { toNewCalls } from '../../../src/activities/new-calls.js';
import { toGivenTurn } from '../../../src/client/given-turn.js';

describe('the turn of a call', () => {
  it.each([
    ['bash', { command: 'ls\n  -l' }, 'backend', '[Asked for by the application, not by a message] bash: ls -l'],
    ['read_file', { path: '~/x' }, 'mcp', '[Asked for by another agent, by MCP, not by a message] read_file: read ~/x'],
  ] as const)('of %s says who asked for what', (tool, values, origin, prompt) => {
    const turn = toGivenTurn(tool, values, origin);
    expect(turn).toEqual({ prompt, given: { tool, argumentsJson: JSON.stringify(values), origin } });
  });

  it('is the same whatever the order of its arguments, and whether one is left out or null', () => {
    const one = toGivenTurn('read_file', { limit: 2, offset: null, path: 'x' }, 'mcp');
    expect(one).toEqual(toGivenTurn('read_file', { path: 'x', limit: 2 }, 'mcp'));
    expect(one.given.argumentsJson).toBe('{"path":"x","limit":2}');
  });

  it('keeps a time limit that JSON cannot say as the longest there is', () => {
    expect(toGivenTurn('bash', JSON.parse('{"command":"ls","timeout":1e300}'), 'mcp').given.argumentsJson).toBe(
      '{"command":"ls","timeout":1800}',
    );
  });
});

describe('its steps', () => {
  it('are the call, as any model might have asked for it, and then the end', () => {
    const { given } = toGivenTurn('write_file', { path: 'x', content: 'a\u0000\ud800' }, 'mcp');
    const first = toGivenAnswer({ call: given });
    expect(first).toMatchObject({ content: '', finish: 'tool_calls', usage: undefined });
    expect(toNewCalls(first.toolCalls)).toEqual([
      { callId: 'given', tool: 'write_file', argumentsJson: given.argumentsJson, title: 'write x' },
    ]);
    expect(toGivenAnswer({ call: undefined })).toMatchObject({ content: '', finish: 'stop', toolCalls: [] });
  });
});
