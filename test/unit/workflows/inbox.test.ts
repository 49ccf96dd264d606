/** The inbox outside of a workflow: what counts as unread, and what becomes of it where there is no user. */
import { describe, expect, it } from 'vitest';
import { HELD_REJECTIONS_MAX } from '../../../src/contracts/limits.js';
import {
  askToLook,
  createInbox,
  hasNoMail,
  hasUnstoredTurns,
  isInboxEmpty,
  noteRejection,
  refuseAll,
  type Inbox,
} from '../../../src/workflows/inbox.js';

const empty = (): Inbox => createInbox({ mustLook: false, sleepRequested: false });
const refusal = { signal: 'enqueueTurn', code: 'MESSAGE_INVALID', reason: 'x' } as const;

describe('an inbox', () => {
  it('is empty when it is new, and holds what was carried over', () => {
    expect(isInboxEmpty(empty())).toBe(true);
    expect(createInbox({ mustLook: true, sleepRequested: true })).toMatchObject({
      mustLook: true,
      sleepRequested: true,
    });
  });

  it.each<Partial<Inbox>>([
    { mustLook: true },
    { prompts: [{ turnId: 't', prompt: 'p' }] },
    { rejections: [refusal] },
    { cancelsToStore: ['t'] },
    { cancelsToApply: ['t'] },
    { lostGenerations: [1] },
    { sleepRequested: true },
    { wakeRequested: true },
    { destroyRequested: true },
  ])('is not empty with %j', (note) => {
    expect(isInboxEmpty({ ...empty(), ...note })).toBe(false);
  });

  it('counts as mail what must be stored, and as turns what changes the queue', () => {
    expect(hasNoMail({ ...empty(), mustLook: true, sleepRequested: true })).toBe(true);
    for (const note of [{ prompts: [{ turnId: 't', prompt: 'p' }] }, { cancelsToStore: ['t'] }]) {
      expect(hasNoMail({ ...empty(), ...note })).toBe(false);
      expect(hasUnstoredTurns({ ...empty(), ...note })).toBe(true);
    }
    expect(hasNoMail({ ...empty(), rejections: [refusal] })).toBe(false);
    expect(hasUnstoredTurns({ ...empty(), rejections: [refusal] })).toBe(false);
  });

  it('keeps a bounded number of refusals', () => {
    const inbox = empty();
    for (let index = 0; index < HELD_REJECTIONS_MAX + 5; index += 1) noteRejection(inbox, refusal);
    expect(inbox.rejections).toHaveLength(HELD_REJECTIONS_MAX);
  });

  it('refuses on record whatever asked for something, where there is no user', () => {
    const inbox: Inbox = {
      ...empty(),
      wasEnqueued: true,
      wakeRequested: true,
      lostGenerations: [2],
      cancelsToApply: ['t'],
    };
    refuseAll(inbox, 'USER_DESTROYED');
    expect(inbox.rejections.map(({ signal }) => signal)).toEqual(['enqueueTurn', 'machineLost', 'wakeNow']);
    expect(isInboxEmpty({ ...inbox, rejections: [] })).toBe(true);
  });
});

describe('an announced turn', () => {
  it('is forgotten where there is another reason to look', () => {
    const inbox = { ...empty(), mustLook: true, announced: { turnId: 't', turnKey: '1', position: 1 } };
    askToLook(inbox);
    expect(inbox).toMatchObject({ mustLook: true, announced: undefined });
  });
});
