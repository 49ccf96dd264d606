/** Findings as a person reads them: every kind, action and outcome in words, nothing wider than the terminal, nothing hostile. */
import { describe, expect, it } from 'vitest';
import { findingText, type ShownFinding } from '../../../src/cli/finding-text.js';
import { FINDING_KINDS } from '../../../src/contracts/reconcile.js';

const finding: ShownFinding = {
  kind: 'machine_gone',
  subject: 'dm-1',
  userId: 'ada',
  action: 'machineLost',
  reason: null,
  outcome: 'done',
  code: null,
};
const actionOf = (more: Partial<ShownFinding>): string | undefined =>
  findingText({ ...finding, ...more }, 80)
    .split('\n')
    .find((line) => line.startsWith('  action'))
    ?.slice('  action   '.length);

describe('a finding', () => {
  it('names the user, what it is about, and what was done', () => {
    expect(findingText(finding, 80, [['seen', 'once']])).toBe(
      [
        'machine_gone',
        '  user     ada',
        '  machine  dm-1',
        '  action   told the lane machineLost',
        '  seen     once',
      ].join('\n'),
    );
    expect(findingText({ ...finding, kind: 'signal_lost', subject: 'turn-1' }, 80)).toContain('\n  turn    turn-1\n');
    expect(findingText({ ...finding, userId: null }, 80)).not.toContain('user');
  });

  it.each<[Partial<ShownFinding>, string]>([
    [{ outcome: 'dry_run' }, 'would tell the lane machineLost'],
    [{ outcome: 'failed', code: 'LANE_UNREACHABLE' }, 'could not tell the lane machineLost: LANE_UNREACHABLE'],
    [{ outcome: 'pending' }, 'not known yet: machineLost'],
    [{ action: 'destroy' }, 'destroyed'],
    [{ action: 'destroy', outcome: 'dry_run' }, 'would be destroyed'],
    [{ action: 'destroy', outcome: 'failed', code: 'REVISION_CONFLICT' }, 'could not be destroyed: REVISION_CONFLICT'],
    [{ action: 'report', reason: 'account_is_shared', outcome: 'none' }, 'left alone (account is shared)'],
    [{ action: 'wait', reason: 'grace_period', outcome: 'none' }, 'looked at again next time (grace period)'],
  ])('says of %j: %s', (more, words) => {
    expect(actionOf(more)).toBe(words);
  });

  it('of any kind fits the terminal, whatever the ids, and sends no escape sequence to it', () => {
    for (const kind of FINDING_KINDS) {
      const hostile = {
        kind,
        subject: `\u001b[2Jdm-${'9'.repeat(200)}`,
        userId: '\u001b]0;title\u0007' + '用'.repeat(128),
      };
      const text = findingText({ ...finding, ...hostile, reason: 'asleep_by_ledger' }, 80);
      expect(text).toMatch(new RegExp(`^${kind}\\n`));
      expect(text).not.toContain('\u001b');
      for (const line of text.split('\n')) expect([...line].length).toBeLessThanOrEqual(80);
    }
  });
});
