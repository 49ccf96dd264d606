/** What can be changed while the emulator runs, through the admin route. Kept in the state journal. */
import { z } from 'zod';
import { AUTOSLEEP_SECONDS_DEFAULT } from '../constants.js';

const delayMs = z.number().min(0).max(86_400_000);

export const settingsSchema = z
  .object({
    /** accepted to running */
    createMs: delayMs.default(400),
    /** sleeping to running; the boot happens within it */
    wakeMs: delayMs.default(200),
    /** running to sleeping */
    sleepMs: delayMs.default(100),
    destroyMs: delayMs.default(50),
    /** How long a machine that says running still refuses executions and terminals. */
    routableMs: delayMs.default(0),
    /** Between the acceptance of an execution and its start. */
    executionMs: delayMs.default(0),
    sleepMode: z.enum(['cold', 'warm']).default('cold'),
    /** Wire protocol of terminal sockets: D = raw binary frames, J = JSON frames. */
    terminalProtocol: z.enum(['D', 'J']).default('J'),
    guestNetwork: z.boolean().default(false),
    /** Idle seconds of machines created without a figure. */
    autosleepDefaultSeconds: z.number().int().min(0).default(AUTOSLEEP_SECONDS_DEFAULT),
    /** What GET answers for a destroyed machine: 404, or its last body. */
    destroyedGet: z.enum(['not_found', 'body']).default('not_found'),
    /** Whether a terminal's socket that merely stays open keeps its machine awake. */
    terminalHoldsAwake: z.boolean().default(false),
    /** Copy the home at each cold sleep, so that the admin route can roll it back. */
    sleepSnapshots: z.boolean().default(true),
    /** Keep what a destroyed or rolled back machine had in its home, so that it can be looked at afterwards. */
    keepsLostHomes: z.boolean().default(false),
  })
  .strict();

export type Settings = z.infer<typeof settingsSchema>;

/** A saved record may come from an older emulator: what no longer fits is dropped, not fatal. */
export function loadSettings(saved: Record<string, unknown> | undefined): Settings {
  const parsed = settingsSchema.safeParse(saved ?? {});
  return parsed.success ? parsed.data : settingsSchema.parse({});
}
