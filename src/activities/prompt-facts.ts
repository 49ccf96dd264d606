/** Ledger -> what the agent is told of its machine (pure but for the clock). */
import type { SystemPromptFacts } from '../model/system-prompt.js';
import type { MachineRow } from '../store/machines.js';

/** Said until the machine has been asked; every provider's machine has it. */
const HOME_UNKNOWN = '$HOME';

export function factsOf(userId: string, row: MachineRow | undefined): SystemPromptFacts {
  const { sleptAt, wokenAt, replacedReason, existedFrom } = row ?? {};
  return {
    user: userId,
    machineId: row?.machineId ?? undefined,
    home: row?.home ?? HOME_UNKNOWN,
    missing: row?.missing ?? [],
    lastSleep: sleptAt ? { sleptAt: sleptAt.toISOString(), wokenAt: wokenSince(sleptAt, wokenAt) } : undefined,
    replaced: replacedReason ? { at: (existedFrom ?? new Date()).toISOString(), reason: replacedReason } : undefined,
    now: new Date().toISOString(),
  };
}

function wokenSince(sleptAt: Date, wokenAt: Date | null | undefined): string | undefined {
  return wokenAt && wokenAt >= sleptAt ? wokenAt.toISOString() : undefined;
}
