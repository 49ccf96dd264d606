/** The address's fragment and the tab's storage: who is shown, by which credential, and that nothing else is taken for one. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadCredential, parseFragment, storeCredential, toFragment } from '../../../web/credential.js';
import { hostileText } from '../../support/hostile.js';
import { runs } from '../../support/properties.js';

function openStorage() {
  const held = new Map<string, string>();
  return {
    held,
    getItem: (name: string) => held.get(name) ?? null,
    setItem: (name: string, value: string) => void held.set(name, value),
    removeItem: (name: string) => void held.delete(name),
  };
}

describe('the fragment', () => {
  it.each([
    ['', { credential: undefined, userId: undefined }],
    ['#key=ik_1', { credential: { kind: 'key', secret: 'ik_1' }, userId: undefined }],
    ['#key=ik_1&user=a%40b', { credential: { kind: 'key', secret: 'ik_1' }, userId: 'a@b' }],
    ['#token=a.b.c&user=ada', { credential: { kind: 'token', secret: 'a.b.c', userId: 'ada' }, userId: 'ada' }],
    ['#token=a.b.c', { credential: undefined, userId: undefined }],
    ['#user=a+b', { credential: undefined, userId: 'a+b' }],
    ['#user=100%', { credential: undefined, userId: '100%' }],
    ['#key=two words', { credential: undefined, userId: undefined }],
    ['#key=two%0D%0Alines', { credential: undefined, userId: undefined }],
    ['#message', { credential: undefined, userId: undefined }],
  ])('%j', (fragment, arrival) => {
    expect(parseFragment(fragment)).toEqual(arrival);
  });

  it('holds any user id, and no key', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (userId) => {
        expect(parseFragment(toFragment(userId))).toEqual({ credential: undefined, userId });
      }),
      runs(200),
    );
    expect(toFragment(undefined)).toBe('');
  });
});

describe('the storage', () => {
  it.each([{ kind: 'key', secret: 'ik_1' } as const, { kind: 'token', secret: 'a.b.c', userId: 'ada' } as const])(
    'keeps %j until it is forgotten',
    (credential) => {
      const storage = openStorage();
      storeCredential(storage, credential);
      expect(loadCredential(storage)).toEqual(credential);
      storeCredential(storage, undefined);
      expect(storage.held.size).toBe(0);
      expect(loadCredential(storage)).toBeUndefined();
    },
  );

  it('that holds something else, or is off, holds no credential', () => {
    fc.assert(
      fc.property(fc.oneof(hostileText, fc.json()), (text) => {
        const storage = { ...openStorage(), getItem: () => text };
        expect(loadCredential(storage)).toBeUndefined();
      }),
      runs(200),
    );
    const off = (): never => {
      throw new Error('storage is off');
    };
    const storage = { getItem: off, setItem: off, removeItem: off };
    storeCredential(storage, { kind: 'key', secret: 'ik_1' });
    expect(loadCredential(storage)).toBeUndefined();
  });
});
