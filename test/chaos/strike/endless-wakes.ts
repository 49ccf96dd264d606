/** A wake that never ends by itself is ended here, once it has outlasted the patience of a worker. */
import type { Rig } from '../rig.js';

/** Longer than a worker waits (rig.ts), so that a second attempt finds it as the first one left it. */
const ENDLESS_MS = 4_000;
const POLL_MS = 500;

/** @returns what stops it */
export function endEndlessWakes({ stack: { emulator } }: Rig): () => void {
  let waiting = new Map<string, number>();

  async function look(): Promise<void> {
    const now = Date.now();
    const pending = (await emulator.machines()).filter(({ phase }) => phase === 'placement_pending');
    waiting = new Map(pending.map(({ machineId }) => [machineId, waiting.get(machineId) ?? now]));
    for (const [machineId, sinceMs] of waiting) {
      if (now - sinceMs >= ENDLESS_MS) await emulator.call('POST', `/_emulator/machines/${machineId}/release`);
    }
  }

  const polling = setInterval(() => void look().catch(() => undefined), POLL_MS); // The emulator is away: a later look does it.
  return () => clearInterval(polling);
}
