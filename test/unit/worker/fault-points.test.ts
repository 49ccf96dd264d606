/** Fault points: off they touch nothing, and a name that is none is refused. That they kill is shown in test/e2e/worker-killed.test.ts. */
import { describe, expect, it } from 'vitest';
import { createFaultPoints } from '../../../src/worker/fault-points.js';

describe('fault points', () => {
  it('leave every part as it is where none is set', () => {
    const points = createFaultPoints(undefined);
    const port = { call: () => 1 };
    expect(points.port('port', port)).toBe(port);
    expect(points.activities(port)).toBe(port);
  });

  it.each([
    'act',
    'act/',
    '/begin',
    'act/guest.run:later',
    'act/guest.run:after#0',
    'act/guest.run:after#x',
    'a b/c',
    'act/begin,',
    'act/store.commit[0]:after',
  ])('refuse %j', (point) => {
    expect(() => createFaultPoints(point)).toThrow(expect.objectContaining({ code: 'SETTINGS_INVALID' }) as Error);
  });

  it('are read from a file, which may not be there yet', () => {
    const points = createFaultPoints('@/nowhere/points', () => undefined);
    expect(points.port('port', { call: () => 1 }).call()).toBe(1);
  });

  it('pass calls on, answers and errors unchanged, outside of the activity they name', async () => {
    let deaths = 0;
    const points = createFaultPoints('act/port.later:after', () => (deaths += 1));
    const port = points.port('port', {
      name: 'a port',
      now: (value: number) => value + 1,
      later: (value: number) => Promise.resolve(value + 1),
      never: () => Promise.reject(new Error('no')),
    });
    expect(port.name).toBe('a port');
    expect(port.now(1)).toBe(2);
    expect(await port.later(1)).toBe(2);
    await expect(port.never()).rejects.toThrow('no');
    expect(deaths).toBe(0);
  });
});
