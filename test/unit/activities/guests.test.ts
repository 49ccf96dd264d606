/**
 * Goal: one attachment a lane, shared by whoever works at the same time, given up when it is lost, unfit or unused, and never under
 * somebody who uses it. Method: a guest whose attachments open when the test says so.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createGuests, type AttachTarget, type Guests } from '../../../src/activities/guests.js';
import { InnkeeperError } from '../../../src/contracts/errors.js';
import { ATTACHMENT_IDLE_MS, ATTACHMENTS_MAX } from '../../../src/contracts/limits.js';
import type { AttachRequest, Guest, GuestAttachment } from '../../../src/guest/guest.js';
import { silentLogger } from '../../../src/log.js';

class FakeAttachment implements GuestAttachment {
  isBroken = false;
  closes = 0;
  readonly identity;
  constructor(
    readonly attachment: number,
    bootId: string,
  ) {
    this.identity = { bootId, home: '/home/machine' };
  }
  run(): never {
    throw new Error('not used here');
  }
  stop(): never {
    throw new Error('not used here');
  }
  close(): Promise<void> {
    this.isBroken = true;
    this.closes += 1;
    return Promise.resolve();
  }
}

const LANE = 'user-machine/ada';
const target: AttachTarget = { generation: 1, machineId: 'dm-1', ownerNonce: 'nonce', bootId: 'boot-1' };

let opened: FakeAttachment[];
let requests: AttachRequest[];
let bootId: string;
let gate: Promise<void>;
let guests: Guests;
let numbers: number;

beforeEach(() => {
  opened = [];
  requests = [];
  bootId = 'boot-1';
  gate = Promise.resolve();
  numbers = 0;
  const guest = {
    attach: async (request: AttachRequest) => {
      requests.push(request);
      await gate;
      request.signal.throwIfAborted();
      const attachment = new FakeAttachment(request.attachment, bootId);
      opened.push(attachment);
      return attachment;
    },
  } as Partial<Guest> as Guest;
  guests = createGuests({ guest, log: silentLogger() });
});
afterEach(async () => {
  await guests.closeAll();
  vi.useRealTimers();
});

function use<T>(
  work: (attachment: GuestAttachment) => Promise<T> | T,
  { lane = LANE, to = target, signal = new AbortController().signal } = {},
): Promise<T> {
  const nextNumber = (): Promise<number> => Promise.resolve((numbers += 1));
  return guests.use(lane, to, { nextNumber, signal }, async (held) => work(held.guest));
}

function hold(): { readonly release: () => void } {
  let release = (): void => undefined;
  gate = new Promise((resolve) => (release = resolve));
  return { release: () => release() };
}

describe('an attachment', () => {
  it('is opened once and used from turn to turn', async () => {
    expect(guests.peek(LANE)).toBeUndefined();
    const first = await use((attachment) => attachment);
    expect(await use((attachment) => attachment)).toBe(first);
    expect(guests.peek(LANE)).toMatchObject({ generation: 1, machineId: 'dm-1', guest: first });
    expect(requests).toMatchObject([{ machineId: 'dm-1', ownerNonce: 'nonce', attachment: 1 }]);
  });

  it('is shared by those who ask while it is opened, so that none fences out another', async () => {
    const { release } = hold();
    const both = [use((attachment) => attachment), use((attachment) => attachment)];
    release();
    const [one, other] = await Promise.all(both);
    expect(one).toBe(other);
    expect(requests).toHaveLength(1);
  });

  it('is one for each lane', async () => {
    await Promise.all([use(() => 1), use(() => 1, { lane: 'user-machine/grace' })]);
    expect(opened).toHaveLength(2);
  });

  it.each([
    ['of an older machine', { generation: 2, machineId: 'dm-2' }],
    ['to another boot', { bootId: 'boot-2' }],
  ])('%s is replaced', async (_what, change) => {
    await use(() => undefined);
    bootId = 'boot-2';
    const to = { ...target, bootId: 'boot-2', ...change };
    expect(await use((attachment) => attachment.attachment, { to })).toBe(2);
    expect(opened.map(({ closes }) => closes)).toEqual([1, 0]);
  });

  it('to a boot that nobody has entered is given up as asleep, unless any boot will do', async () => {
    bootId = 'boot-2';
    await expect(use(() => undefined)).rejects.toMatchObject({ code: 'MACHINE_ASLEEP' });
    expect(opened[0]?.closes).toBe(1);
    expect(await use((attachment) => attachment.attachment, { to: { ...target, bootId: undefined } })).toBe(2);
  });

  it('that broke is replaced under a higher number', async () => {
    await use(() => undefined);
    opened[0]!.isBroken = true;
    expect(guests.peek(LANE)).toBeUndefined();
    expect(await use((attachment) => attachment.attachment)).toBe(2);
  });

  it.each(['GUEST_UNREACHABLE', 'ATTACHMENT_FENCED', 'MACHINE_ASLEEP', 'MACHINE_LOST'] as const)(
    'whose use failed with %s is given up',
    async (code) => {
      await expect(use(() => Promise.reject(new InnkeeperError(code, 'lost')))).rejects.toMatchObject({ code });
      expect(guests.peek(LANE)).toBeUndefined();
      expect(opened[0]?.closes).toBe(1);
    },
  );

  it('whose use failed otherwise is kept', async () => {
    await expect(use(() => Promise.reject(new InnkeeperError('STALE_TRY', 'newer')))).rejects.toThrow();
    expect(guests.peek(LANE)?.guest).toBe(opened[0]);
  });

  it('that replaced a lost one is not given up with it', async () => {
    let fail = (): void => undefined;
    const failing = use(
      () => new Promise<void>((_, reject) => (fail = () => reject(new InnkeeperError('GUEST_UNREACHABLE', 'lost')))),
    );
    await vi.waitFor(() => expect(opened).toHaveLength(1));
    opened[0]!.isBroken = true;
    await use(() => undefined);
    fail();
    await expect(failing).rejects.toThrow();
    expect(guests.peek(LANE)?.guest).toBe(opened[1]);
  });
});

describe('opening', () => {
  it('goes on for the others when one of them leaves', async () => {
    const { release } = hold();
    const leaver = new AbortController();
    const left = use(() => 'left', { signal: leaver.signal });
    const stayed = use(() => 'stayed');
    leaver.abort(new Error('cancelled'));
    await expect(left).rejects.toThrow('cancelled');
    release();
    expect(await stayed).toBe('stayed');
    expect(requests).toHaveLength(1);
  });

  it('is given up when nobody waits for it any more', async () => {
    const { release } = hold();
    const leaver = new AbortController();
    const left = use(() => undefined, { signal: leaver.signal });
    await vi.waitFor(() => expect(requests).toHaveLength(1));
    leaver.abort(new Error('cancelled'));
    await expect(left).rejects.toThrow('cancelled');
    expect(requests[0]?.signal.aborted).toBe(true);
    release();
    expect(await use(() => 'anew')).toBe('anew');
    expect(opened).toHaveLength(1);
  });

  it('that failed for one is tried again by the other', async () => {
    let failures = 1;
    const nextNumber = (): Promise<number> => {
      if (failures-- > 0) return Promise.reject(new InnkeeperError('STALE_LANE', 'an older run asked'));
      return Promise.resolve(7);
    };
    const { signal } = new AbortController();
    const older = guests.use(LANE, target, { nextNumber, signal }, () => Promise.resolve('older'));
    const newer = guests.use(LANE, target, { nextNumber, signal }, (held) => Promise.resolve(held.guest.attachment));
    await expect(older).rejects.toMatchObject({ code: 'STALE_LANE' });
    expect(await newer).toBe(7);
  });

  it('ends with a drop, and what opened all the same is closed', async () => {
    const { release } = hold();
    const used = use(() => 'used');
    await vi.waitFor(() => expect(requests).toHaveLength(1));
    const dropped = guests.drop(LANE);
    release();
    await dropped;
    await expect(used).rejects.toMatchObject({ code: 'GUEST_UNREACHABLE' });
    expect(opened.every(({ closes }) => closes === 1)).toBe(true);
    expect(guests.peek(LANE)).toBeUndefined();
  });
});

describe('what is held', () => {
  it('is bounded: the one unused longest goes first, one in use never', async () => {
    let release = (): void => undefined;
    const inUse = use(() => new Promise<void>((resolve) => (release = resolve)), { lane: 'busy' });
    await vi.waitFor(() => expect(opened).toHaveLength(1));
    for (let index = 0; index < ATTACHMENTS_MAX; index += 1) await use(() => undefined, { lane: `lane-${index}` });
    expect(opened.filter(({ closes }) => closes > 0)).toHaveLength(1);
    expect(guests.peek('busy')).toBeDefined();
    expect(guests.peek('lane-0')).toBeUndefined();
    expect(guests.peek('lane-1')).toBeDefined();
    release();
    await inUse;
  });

  it('is closed once nobody has used it for long, or when it broke', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    await guests.closeAll();
    guests = createGuests({
      guest: {
        attach: () => {
          opened.push(new FakeAttachment(1, 'boot-1'));
          return Promise.resolve(opened.at(-1));
        },
      } as unknown as Guest,
      log: silentLogger(),
    });
    await use(() => undefined, { lane: 'idle' });
    vi.advanceTimersByTime(ATTACHMENT_IDLE_MS / 2);
    await use(() => undefined, { lane: 'used' });
    await use(() => undefined, { lane: 'broken' });
    opened[2]!.isBroken = true;
    vi.advanceTimersByTime(ATTACHMENT_IDLE_MS / 2 + 60_000);
    expect(opened.map(({ closes }) => closes)).toEqual([1, 0, 1]);
    expect(guests.peek('used')).toBeDefined();
  });

  it('is all closed at the end, and a failing close is nobody elses problem', async () => {
    await use(() => undefined, { lane: 'one' });
    await use(() => undefined, { lane: 'two' });
    opened[0]!.close = () => Promise.reject(new Error('no'));
    await guests.closeAll();
    expect(opened[1]?.closes).toBe(1);
    expect(guests.peek('one')).toBeUndefined();
  });
});
