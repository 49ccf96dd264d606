/** Goal: the agent is told of its machine what the ledger says, and nothing that the ledger does not say. */
import { expect, it } from 'vitest';
import { factsOf } from '../../../src/activities/prompt-facts.js';
import type { MachineRow } from '../../../src/store/machines.js';

const at = (minute: number): Date => new Date(Date.UTC(2026, 0, 1, 0, minute));
const row: MachineRow = {
  userId: 'ada',
  generation: 1,
  machineId: 'dm-1',
  phase: 'ready',
  createKey: 'key',
  vcpu: 1,
  memoryMib: 2048,
  storageGib: 10,
  autosleepSeconds: null,
  ownerNonce: 'nonce',
  bootId: 'boot',
  home: '/home/machine',
  missing: ['nodejs'],
  sleptAt: null,
  wokenAt: null,
  replacedReason: null,
  lostReason: null,
  existedFrom: at(0),
  existedUntil: null,
};

it('a user without a machine is told that it is being made', () => {
  expect(factsOf('ada', undefined)).toMatchObject({
    user: 'ada',
    machineId: undefined,
    home: '$HOME',
    missing: [],
    lastSleep: undefined,
    replaced: undefined,
  });
});

it('a machine is told with its home and what it lacks', () => {
  expect(factsOf('ada', row)).toMatchObject({ machineId: 'dm-1', home: '/home/machine', missing: ['nodejs'] });
});

it('a sleep is told until the wake that followed it, or as going on', () => {
  const sleptAt = at(10);
  expect(factsOf('ada', { ...row, sleptAt, wokenAt: at(20) }).lastSleep).toEqual({
    sleptAt: sleptAt.toISOString(),
    wokenAt: at(20).toISOString(),
  });
  const ongoing = { sleptAt: sleptAt.toISOString(), wokenAt: undefined };
  expect(factsOf('ada', { ...row, sleptAt, wokenAt: at(5) }).lastSleep).toEqual(ongoing);
  expect(factsOf('ada', { ...row, sleptAt }).lastSleep).toEqual(ongoing);
});

it('a replacement is told with its reason and when it began to exist', () => {
  expect(factsOf('ada', { ...row, replacedReason: 'it failed' }).replaced).toEqual({
    at: at(0).toISOString(),
    reason: 'it failed',
  });
});

it('no key and no nonce is among the facts', () => {
  expect(JSON.stringify(factsOf('ada', { ...row, ownerNonce: 'canary-1', createKey: 'canary-2' }))).not.toContain(
    'canary',
  );
});
