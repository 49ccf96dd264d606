/** The reconciler's words are explained to operators, and whatever a reconcile is started with, it is no more than a dry run by mistake. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FINDING_KINDS,
  FINDING_REASONS,
  LISTING_KINDS,
  parseReconcileInput,
  type ReconcileProgress,
} from '../../../src/contracts/reconcile.js';

describe('docs/operations.md', () => {
  const text = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8');
  it.each([...FINDING_KINDS, ...FINDING_REASONS])('explains %s', (word) => {
    expect(text).toMatch(new RegExp(`^\\| \`${word}\` `, 'm'));
  });
});

describe('what a reconcile is started with', () => {
  const progress: ReconcileProgress = {
    ...{ reconcileId: 'r', startedAtMs: 1, isDryRun: false, stage: 'users', at: 'user-machine/ada', pages: 3 },
    ...{ destroysLeft: 1, listing: 'PROVIDER_UNAVAILABLE', machines: 2, users: 1, findings: [], findingCount: 4 },
  };

  it('is nothing, a wish, or where the run before it stood', () => {
    expect(parseReconcileInput(undefined)).toEqual({ isDryRun: false });
    expect(parseReconcileInput({ isDryRun: false })).toEqual({ isDryRun: false });
    expect(parseReconcileInput({ isDryRun: true })).toEqual({ isDryRun: true });
    const carried: unknown = JSON.parse(JSON.stringify({ isDryRun: false, progress }));
    expect(parseReconcileInput(carried)).toEqual({ isDryRun: false, progress });
  });

  it('acts only where it is told to in so many words', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        fc.pre(value !== undefined);
        const { isDryRun, progress: carried } = parseReconcileInput(value);
        const isTold = typeof value === 'object' && value !== null && 'isDryRun' in value && value.isDryRun === false;
        expect(isDryRun).toBe(!isTold);
        expect(carried).toBeUndefined();
      }),
    );
  });

  it.each(Object.keys(progress))('is a dry run from the beginning where the progress lacks %s', (field) => {
    const broken = { isDryRun: false, progress: { ...progress, [field]: undefined } };
    expect(parseReconcileInput(broken)).toEqual({ isDryRun: true });
  });

  it('of the kinds that follow from the list are some, and not all', () => {
    expect(FINDING_KINDS).toEqual(expect.arrayContaining([...LISTING_KINDS]));
    expect(LISTING_KINDS.length).toBeLessThan(FINDING_KINDS.length);
  });
});
