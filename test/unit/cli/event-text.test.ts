/** Events as a person reads them: every kind has its words, and nothing that a guest or a model prints reaches the terminal raw. */
import { describe, expect, it } from 'vitest';
import { createEventText, toPlain } from '../../../src/cli/event-text.js';
import type { TurnEventBody } from '../../../src/contracts/events.js';

function textOf(...bodies: TurnEventBody[]): (string | undefined)[] {
  const toText = createEventText();
  return bodies.map((body, index) => toText({ seq: index + 1, turnId: 't', at: '2026-03-01T00:00:00Z', body }));
}

const ended = { step: 0, index: 0, cmdId: 'c', tool: 'bash', outcome: 'exited', exitCode: 0, outputBytes: 3 } as const;

describe('createEventText', () => {
  it('shows a command by its title when it starts, and its output indented when it ends', () => {
    expect(
      textOf(
        {
          type: 'step.answered',
          step: 0,
          text: ' Let me look. ',
          calls: [{ index: 0, cmdId: 'c', tool: 'bash', title: 'ls -l' }],
        },
        { type: 'command.started', step: 0, index: 0, cmdId: 'c', tool: 'bash' },
        { type: 'command.ended', ...ended, output: 'one\n\ntwo\n[exit code 0]\n' },
      ),
    ).toEqual(['Let me look.', '$ ls -l', '  one\n  \n  two\n  [exit code 0]']);
  });

  it('names other tools, and says how a turn failed and what to do', () => {
    expect(
      textOf(
        { type: 'command.started', step: 0, index: 0, cmdId: 'x', tool: 'read_file' },
        { type: 'turn.ended', outcome: 'failed', code: 'MODEL_UNAUTHORIZED' },
        { type: 'turn.ended', outcome: 'cancelled', code: null },
      ),
    ).toEqual([
      '[read_file] ',
      '· failed: MODEL_UNAUTHORIZED. Check the model key (MODEL_API_KEY) and its balance.',
      '· cancelled',
    ]);
  });

  it('tells of the machine, and is silent where there is nothing to say', () => {
    expect(
      textOf(
        { type: 'machine.phase', phase: 'waking', generation: 2 },
        { type: 'machine.replaced', generation: 3, reason: 'gone' },
        {
          type: 'machine.replaced',
          generation: 4,
          reason: 'gone',
          kept: ['the conversation'],
          lost: ['files', 'packages'],
        },
        { type: 'turn.resumed', step: 4 },
        { type: 'turn.queued', position: 1 },
        { type: 'turn.started', position: 1 },
        { type: 'turn.ended', outcome: 'completed', code: null },
        { type: 'step.answered', step: 0, text: '', calls: [] },
      ),
    ).toEqual([
      '· machine 2 is waking',
      '· machine 3 replaces the one before: gone',
      '· machine 4 replaces the one before: gone\n  lost: files, packages\n  kept: the conversation',
      '· goes on at step 4 after an interruption',
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe('toPlain', () => {
  it.each([
    ['\u001b[31mred\u001b[0m', 'red'],
    ['\u001b]0;title\u0007after', 'after'],
    ['\u001b]52;c;c2VjcmV0\u001b\\after', 'after'],
    ['\u001bP1;2q data\u001b\\after', 'after'],
    ['a\u009b31mb', 'a31mb'],
    ['\u001bcreset', 'reset'],
    ['tab\tand\r\nline\rback\bspace', 'tab\tand\nlinebackspace'],
    ['evil\u202etxt.exe', 'eviltxt.exe'],
  ])('takes control sequences out of %j', (raw, plain) => {
    expect(toPlain(raw)).toBe(plain);
  });

  it('leaves no control character at whatever byte a sequence is cut', () => {
    const hostile = '\u001b[1;31mA\u001b]52;c;eA==\u0007B\u001bP$q\u001b\\C\u009d0;x\u009cD';
    for (let cut = 0; cut <= hostile.length; cut += 1) {
      expect(toPlain(hostile.slice(0, cut))).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
      expect(toPlain(hostile.slice(cut))).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
    }
  });
});
