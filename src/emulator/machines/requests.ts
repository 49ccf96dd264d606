/** What clients may ask of machines: body schemas per profile, sizes, and the forms of the autosleep field. */
import { z } from 'zod';
import {
  AUTOSLEEP_SECONDS_MAX,
  G6_DEFAULT_MEMORY_MIB,
  G6_DEFAULT_STORAGE_GIB,
  G6_DEFAULT_VCPU,
  MEMORY_MIB_MAX,
  STORAGE_GIB_MAX,
  VCPU_MAX,
  VCPU_STEP,
} from '../constants.js';
import { problem } from '../wire/errors.js';
import type { ProfileRules } from '../wire/profiles.js';

export interface MachineSizes {
  vcpu: number;
  memoryMib: number;
  storageGib: number;
}

export interface MachineRequest extends Partial<MachineSizes> {
  autosleepSeconds?: number;
}

/** Reserved sizes, so that a person can see these failures without the admin route. */
export const RESERVED_STORAGE_NO_HOSTS_GIB = 1_404;
export const RESERVED_STORAGE_FAILS_GIB = 1_500;

const UNIT_SECONDS: Readonly<Record<string, number>> = { w: 604_800, d: 86_400, h: 3_600, m: 60, s: 1 };

/** `30s`, `1w3d`, `1800` or `never` to whole seconds; 0 is off. Undefined where the text is none of these. */
export function parseAutosleep(text: string): number | undefined {
  if (text === 'never') return 0;
  if (/^\d+$/.test(text)) return inRange(Number(text));
  if (!/^(\d+[wdhms])+$/.test(text)) return undefined;
  let seconds = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)([wdhms])/g))
    seconds += Number(count) * (UNIT_SECONDS[unit ?? ''] ?? 0);
  return inRange(seconds);
}

function inRange(seconds: number): number | undefined {
  return Number.isSafeInteger(seconds) && seconds <= AUTOSLEEP_SECONDS_MAX ? seconds : undefined;
}

const vcpu = z.number().positive().multipleOf(VCPU_STEP);
const whole = z.number().int().positive();
const autosleep = z.string().transform((text, check) => {
  const seconds = parseAutosleep(text);
  if (seconds !== undefined) return seconds;
  check.addIssue('expected a duration such as 300s, seconds, or never');
  return z.NEVER;
});

type Wire = { vcpu?: number; memory_mib?: number; storage_gib?: number; autosleep?: number };

export function createSchema(rules: ProfileRules): z.ZodType<Wire> {
  const sizes = rules.hasOptionalSizes
    ? {
        vcpu: vcpu.default(G6_DEFAULT_VCPU),
        memory_mib: whole.default(G6_DEFAULT_MEMORY_MIB),
        storage_gib: whole.default(G6_DEFAULT_STORAGE_GIB),
      }
    : { vcpu, memory_mib: whole, storage_gib: whole };
  return z.strictObject(rules.hasAutosleep ? { ...sizes, autosleep: autosleep.optional() } : sizes) as z.ZodType<Wire>;
}

export function updateSchema(rules: ProfileRules): z.ZodType<Wire> {
  const sizes = { vcpu: vcpu.optional(), memory_mib: whole.optional(), storage_gib: whole.optional() };
  return z.strictObject(rules.hasAutosleep ? { ...sizes, autosleep: autosleep.optional() } : sizes) as z.ZodType<Wire>;
}

export function toMachineRequest(wire: Wire): MachineRequest {
  const request: MachineRequest = {};
  if (wire.vcpu !== undefined) request.vcpu = wire.vcpu;
  if (wire.memory_mib !== undefined) request.memoryMib = wire.memory_mib;
  if (wire.storage_gib !== undefined) request.storageGib = wire.storage_gib;
  if (wire.autosleep !== undefined) request.autosleepSeconds = wire.autosleep;
  return request;
}

/** Throws 400 for what no host could hold. */
export function checkCapacity(sizes: MachineSizes): void {
  if (sizes.memoryMib > MEMORY_MIB_MAX) throw problem(400, 'memory_mib exceeds capacity');
  if (sizes.vcpu > VCPU_MAX) throw problem(400, 'vcpu exceeds capacity');
  if (sizes.storageGib > STORAGE_GIB_MAX) throw problem(400, 'storage_gib exceeds capacity');
}
