/** A step of the story passes only where every claim is borne out, and it says why where not; told readably on a narrow terminal. */
import { describe, expect, it } from 'vitest';
import { createPrinter } from '../../../src/story/printer.js';
import { runStep, type Journal, type StepListener } from '../../../src/story/step.js';

const silent: StepListener = {
  onStart: () => undefined,
  onShow: () => undefined,
  onFinding: () => undefined,
  onNote: () => undefined,
  onEnd: () => undefined,
};

function tell(run: (journal: Journal) => Promise<void>, listener = silent) {
  return runStep(
    { number: 1, title: 'A step', run: (_story: undefined, journal) => run(journal) },
    undefined,
    listener,
  );
}

describe('a step', () => {
  it('passes when all its claims hold', async () => {
    const result = await tell(async (journal) => {
      journal.check('one', 'guest', true, { seen: 1 });
      journal.check('two', 'postgres', true, null);
    });
    expect(result).toMatchObject({ passed: true, error: null, findings: [{ claim: 'one' }, { claim: 'two' }] });
  });

  it('fails when one claim does not hold, and keeps what the record said', async () => {
    const result = await tell(async (journal) => {
      journal.check('one', 'guest', true, null);
      journal.check('two', 'provider', false, { status: 500 });
    });
    expect(result.passed).toBe(false);
    expect(result.findings[1]).toEqual({ claim: 'two', source: 'provider', holds: false, evidence: { status: 500 } });
  });

  it('fails when it breaks off, whatever held before', async () => {
    const result = await tell(async (journal) => {
      journal.check('one', 'guest', true, null);
      throw new Error('the machine is gone');
    });
    expect(result).toMatchObject({ passed: false, error: 'the machine is gone' });
  });

  it('fails when it claims nothing', async () => {
    expect((await tell(async () => undefined)).passed).toBe(false);
  });
});

describe('the printer', () => {
  it('keeps every line within 60 columns, marks what failed, and shows its evidence', async () => {
    let text = '';
    const printer = createPrinter({ write: (part: string) => (text += part) });
    const result = await tell(async (journal) => {
      journal.show(`ada: $ ${'x'.repeat(200)}`);
      journal.note('a note that is rather longer than one line of sixty columns can hold, so it is broken');
      journal.check('a claim that is rather longer than one line of sixty columns can hold', 'guest', true, null);
      journal.check('false', 'provider', false, { key: 'y'.repeat(300) });
    }, printer);
    printer.table([result]);
    const lines = text.split('\n');
    expect(Math.max(...lines.map((line) => [...line].length))).toBeLessThanOrEqual(60);
    expect(text).toContain('✗ false');
    expect(text).toMatch(/provider:\s+\{"key":"yyy/);
    expect(text).toMatch(/1 A step +1\/2 +0\.0 s +FAILED/);
  });
});
