/** What was used, at a deployment's prices (pure). */
import type { UserUsage } from './usage.js';

const SECONDS_PER_HOUR = 3_600;
/** A month as the vendor counts it is not documented; this is the usual 730 hours. */
const SECONDS_PER_MONTH = 730 * SECONDS_PER_HOUR;

export interface CostLine {
  readonly userId: string;
  readonly awakeSeconds: number;
  readonly vcpuHours: number;
  readonly gibMonths: number;
  /** null: a price is not set. */
  readonly cost: number | null;
}

/** In any one currency. */
export interface Prices {
  /** Of a vCPU-hour awake. */
  readonly vcpuHour: number | undefined;
  /** Of a GiB-month of storage, asleep or awake. */
  readonly gibMonth: number | undefined;
}

/** Adds prices to what was measured. */
export function toCostLine(used: UserUsage, prices: Prices): CostLine {
  const vcpuHours = used.vcpuSeconds / SECONDS_PER_HOUR;
  const gibMonths = used.gibSeconds / SECONDS_PER_MONTH;
  const { vcpuHour, gibMonth } = prices;
  const cost = vcpuHour === undefined || gibMonth === undefined ? null : vcpuHours * vcpuHour + gibMonths * gibMonth;
  return { userId: used.userId, awakeSeconds: used.awakeSeconds, vcpuHours, gibMonths, cost };
}
