/** Goal: what the journal says of a command is stored as that, never as something better. Method: every way a command can end. */
import { describe, expect, it } from 'vitest';
import { isOnLostBoot, settlementOf, settlementOfReplaced, type Over } from '../../../src/activities/settlement.js';
import type { VoidReason } from '../../../src/guest/guest.js';

const output = { totalBytes: 9, head: Buffer.from('head'), tail: Buffer.from('tail') };

function finished(change: Partial<Extract<Over, { kind: 'finished' }>['result']> = {}): Over {
  return {
    kind: 'finished',
    result: {
      exitCode: 0,
      signal: undefined,
      timedOut: false,
      stopped: false,
      outputHash: 'hash',
      output,
      startedAtMs: 1,
      endedAtMs: 2,
      ...change,
    },
  };
}
const voided = (reason: VoidReason): Over => ({ kind: 'void', reason, output });

describe('settlementOf', () => {
  it.each([
    ['an exit', finished(), 'exited'],
    ['an exit with an error', finished({ exitCode: 3 }), 'exited'],
    ['a signal', finished({ exitCode: undefined, signal: 'SEGV' }), 'signalled'],
    ['a time limit', finished({ exitCode: undefined, signal: 'TERM', timedOut: true }), 'timed_out'],
    ['a stop', finished({ exitCode: undefined, signal: 'TERM', stopped: true }), 'cancelled'],
    ['a stop at its time limit', finished({ stopped: true, timedOut: true }), 'cancelled'],
    ['a stop before it began', voided('stopped_before_start'), 'cancelled'],
    ["its runner's death", voided('runner_died'), 'unknown'],
    ['another boot', voided('boot_changed'), 'unknown'],
    ['a disk that went back', voided('disk_rolled_back'), 'unknown'],
  ] as const)('stores %s', (_what, status, outcome) => {
    const settlement = settlementOf(status, 'cancelled');
    expect(settlement.outcome).toBe(outcome);
    expect(settlement.reason).toBe(status.kind === 'void' ? status.reason : null);
    expect(settlement.result).toMatchObject({ outputBytes: 9, outputHead: output.head, outputTail: output.tail });
    expect(settlement.shown).not.toBe('');
  });

  it('uses the word of whoever stopped it', () => {
    expect(settlementOf(finished({ stopped: true }), 'interrupted').outcome).toBe('interrupted');
    expect(settlementOf(voided('stopped_before_start'), 'interrupted').outcome).toBe('interrupted');
    expect(settlementOf(finished(), 'interrupted').outcome).toBe('exited');
  });

  it('keeps what proves the result: exit code, signal, hash and times', () => {
    expect(settlementOf(finished({ exitCode: 7, signal: 'X' }), 'cancelled').result).toMatchObject({
      exitCode: 7,
      signal: 'X',
      outputHash: 'hash',
      startedAtMs: 1,
      endedAtMs: 2,
    });
  });

  it('tells the agent of a command whose machine is gone, and promises nothing', () => {
    const { outcome, reason, shown } = settlementOfReplaced();
    expect({ outcome, reason }).toEqual({ outcome: 'unknown', reason: 'machine_replaced' });
    expect(shown).toMatch(/unknown.*replaced.*not run again/);
  });
});

it('an attachment is given up after an answer from another boot only', () => {
  const lost = [voided('boot_changed'), voided('disk_rolled_back')];
  const kept = [voided('runner_died'), voided('stopped_before_start'), finished()];
  expect(lost.map(isOnLostBoot)).toEqual([true, true]);
  expect(kept.map(isOnLostBoot)).toEqual([false, false, false]);
});
