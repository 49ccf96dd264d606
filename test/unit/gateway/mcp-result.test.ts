/** Goal: whatever becomes of a call, its result says so, and nothing that failed looks like a success. */
import { describe, expect, it } from 'vitest';
import type { FeedItem, TurnDelta, TurnEvent } from '../../../src/client.js';
import { ERROR_TABLE, InnkeeperError } from '../../../src/contracts/errors.js';
import type { ToolName } from '../../../src/contracts/tools.js';
import { createCallStory, toErrorResult, TURN_ID_KEY } from '../../../src/gateway/mcp-result.js';

type Body = TurnEvent['body'];

const position = { seq: 1, try: 0, n: 0 };
const at = '2026-01-01T00:00:00.000Z';
const event = (body: Body, turnId: string | null = 't1'): FeedItem => ({
  position,
  event: { seq: 1, turnId, at, body },
});
const delta = (body: TurnDelta['body'], index: number | null = 0, turnId = 't1'): FeedItem => ({
  position,
  delta: { turnId, step: 0, index, body },
});

const place = { step: 0, index: 0, cmdId: 'c', tool: 'bash' };
const ended = (
  outcome: Extract<Body, { type: 'command.ended' }>['outcome'],
  exitCode: number | null,
  output = 'out',
): FeedItem => event({ type: 'command.ended', ...place, outcome, exitCode, outputBytes: 3, output });
const COMPLETED = event({ type: 'turn.ended', outcome: 'completed', code: null });

function resultOf(items: readonly FeedItem[], tool: ToolName = 'bash') {
  const story = createCallStory('t1', tool);
  for (const item of items) story.tell(item);
  return story.result();
}

describe('a result', () => {
  it('comes with the end of the turn, not before and not by another turn', () => {
    expect(resultOf([ended('exited', 0)])).toBeUndefined();
    expect(
      resultOf([ended('exited', 0), event({ type: 'turn.ended', outcome: 'failed', code: 'INTERNAL' }, 't0')]),
    ).toBeUndefined();
    expect(resultOf([ended('exited', 0), COMPLETED])).toEqual({
      content: [{ type: 'text', text: 'out' }],
      structuredContent: {
        ...{ turnId: 't1', state: 'completed', code: null },
        ...{ outcome: 'exited', exitCode: 0, outputBytes: 3 },
      },
      isError: false,
    });
  });

  it.each<[ToolName, Parameters<typeof ended>[0], number | null, boolean]>([
    ['bash', 'exited', 0, false],
    ['bash', 'exited', 1, false],
    ['bash', 'signalled', null, true],
    ['bash', 'timed_out', 137, true],
    ['bash', 'cancelled', 130, true],
    ['bash', 'interrupted', null, true],
    ['bash', 'unknown', null, true],
    ['bash', 'invalid', null, true],
    ['read_file', 'exited', 0, false],
    ['read_file', 'exited', 1, true],
    ['write_file', 'exited', 1, true],
  ])('of %s that %s with %j: an error is %j', (tool, outcome, exitCode, isError) => {
    const result = resultOf([ended(outcome, exitCode), COMPLETED], tool);
    expect(result).toMatchObject({ isError, structuredContent: { outcome, exitCode } });
  });

  it('of a turn that ended otherwise has what was printed, the code, and what to do', () => {
    const end = event({ type: 'turn.ended', outcome: 'failed', code: 'TURN_DEADLINE_EXCEEDED' });
    expect(resultOf([ended('cancelled', 130), end])).toMatchObject({
      content: [{ text: `out\nTURN_DEADLINE_EXCEEDED: ${ERROR_TABLE.TURN_DEADLINE_EXCEEDED.advice}` }],
      structuredContent: { state: 'failed', code: 'TURN_DEADLINE_EXCEEDED' },
      isError: true,
    });
  });

  it('of a call that never ran says that', () => {
    const end = event({ type: 'turn.ended', outcome: 'failed', code: 'MACHINE_UNAVAILABLE' });
    expect(resultOf([end])).toMatchObject({
      content: [{ text: expect.stringMatching(/^The call did not run\.\nMACHINE_UNAVAILABLE: /) as string }],
      structuredContent: { outcome: null, exitCode: null, outputBytes: 0 },
      isError: true,
    });
  });
});

describe('somebody who waits', () => {
  const tell = (item: FeedItem): string | undefined => createCallStory('t1', 'bash').tell(item);

  it.each<[FeedItem, string | undefined]>([
    [event({ type: 'turn.queued', position: 3 }), 'This call is turn t1.'],
    [event({ type: 'turn.queued', position: 4 }, 't2'), undefined],
    [event({ type: 'turn.started', position: 3 }), 'It begins.'],
    [event({ type: 'machine.phase', phase: 'waking', generation: 2 }, null), 'The machine is waking.'],
    [delta({ type: 'output.delta', text: '\u001b[1;38:5:2mred\u001b[0m\n' }), 'red\n'],
    [delta({ type: 'output.delta', text: '\u001b[0m' }), undefined],
    [delta({ type: 'output.delta', text: 'other' }, 0, 't0'), undefined],
    [delta({ type: 'answer.delta', text: 'words' }, null), undefined],
    [delta({ type: 'part.restarted' }), '[The output is told anew.]'],
    [ended('exited', 0), undefined],
  ])('of %j is told %j', (item, said) => expect(tell(item)).toBe(said));
});

describe('an error', () => {
  const error = new InnkeeperError('QUEUE_FULL', 'The user has 20 open turns.');

  it('begins with its code', () => {
    const { content, isError } = toErrorResult(error, undefined);
    const text = `QUEUE_FULL: The user has 20 open turns. ${ERROR_TABLE.QUEUE_FULL.advice}`;
    expect([content, isError]).toEqual([[{ type: 'text', text }], true]);
  });

  it('of a call that may go on says how to hear of it', () => {
    const [first] = toErrorResult(error, 'mcp-1').content;
    expect(first).toMatchObject({ text: expect.stringContaining(`{"${TURN_ID_KEY}":"mcp-1"}`) as string });
  });
});
