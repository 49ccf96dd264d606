/** Costs: what was used times the prices of the settings; no cost where a price is missing. */
import { describe, expect, it } from 'vitest';
import { toCostLine } from '../../../src/store/cost.js';

const used = { userId: 'ada', awakeSeconds: 7_200, vcpuSeconds: 14_400, gibSeconds: 10 * 730 * 3_600 };

describe('toCostLine', () => {
  it('adds awake vCPU-hours and stored GiB-months', () => {
    expect(toCostLine(used, { vcpuHour: 0.5, gibMonth: 0.1 })).toEqual({
      userId: 'ada',
      awakeSeconds: 7_200,
      vcpuHours: 4,
      gibMonths: 10,
      cost: 3,
    });
  });

  it.each([
    { vcpuHour: undefined, gibMonth: 0.1 },
    { vcpuHour: 0.5, gibMonth: undefined },
  ])('knows no cost with %o', (prices) => {
    expect(toCostLine(used, prices).cost).toBeNull();
  });
});
