/** Faults that the emulator deals out: planned faults in its words, bound to one machine. */
import type { RunContext } from '../run-context.js';
import type { PlannedFault } from '../plan/plan.js';
import { surely } from '../surely.js';

type EmulatorFault = Readonly<Record<string, unknown>>;

/** Longer than a worker waits for an answer (rig.ts), so that its repeat is answered first. */
const OVERTAKEN_MS = 1_400;

function toEmulator({ kind, aim }: PlannedFault): EmulatorFault | undefined {
  const { delayMs, at } = aim;
  const status = (code: number, more: object = {}): EmulatorFault => ({ kind: 'status', status: code, ...more });
  switch (kind) {
    case 'terminal-drop':
      return { kind, closeCode: aim.closeCode, at, afterBytes: aim.afterBytes };
    case 'frame-torn':
    case 'frame-duplicated':
      return { kind, at };
    case 'frame-delayed':
    case 'frame-late':
      return { kind, at, delayMs };
    case 'create-unanswered':
      return { kind: 'response-lost', route: 'machines.create' };
    case 'response-lost':
      return { kind };
    case 'response-cut':
      return { kind: 'cut-json' };
    case 'response-delayed':
      return { kind: 'delay', at, delayMs };
    case 'response-reordered':
      return { kind: 'delay', at: 'after', delayMs: OVERTAKEN_MS };
    case 'stale-read':
      return { kind };
    case 'error-after-commit':
      return { kind, status: 500 };
    case 'conflict-409':
      return { kind: 'revision-conflict' };
    case 'refused-412':
      return status(412, { code: 'PRECONDITION_FAILED', retryable: true });
    case 'limited-429':
      return status(429);
    case 'limited-429-hint':
      return status(429, { retryAfterMs: 60, retryAfterHeaderMs: 60 });
    case 'error-500':
      return status(500);
    case 'error-502':
      return status(502);
    case 'error-503':
      return status(503, { retryAfterHeaderMs: 60 });
    case 'wake-endless':
      return { kind: 'placement-pending', route: 'machines.wake' };
    case 'wake-failed':
      return { kind: 'runtime-wake-failed', route: 'machines.wake' };
    case 'not-routable':
      return { kind: 'not-routable-503', count: 2 };
    default:
      return undefined;
  }
}

export function isWireFault(fault: PlannedFault): boolean {
  return toEmulator(fault) !== undefined;
}

/** Gives the faults to the emulator; its ledger says when each strikes. `message` carries the plan's name of the fault. */
export async function armWire(context: RunContext, userId: string, faults: readonly PlannedFault[]): Promise<void> {
  const { emulator } = context.rig.stack;
  const machine = await context.machine(userId);
  for (const fault of faults) {
    const { route = fault.aim.route, ...spec } = toEmulator(fault) ?? {};
    if (machine === undefined && fault.kind !== 'create-unanswered') {
      context.journal.miss(fault, 'the user had no machine');
      continue;
    }
    const match = {
      ...(machine === undefined ? {} : { machineId: machine.machineId }),
      ...(route === undefined ? {} : { route }),
    };
    await surely(() => emulator.call('POST', '/_emulator/faults', { ...spec, message: fault.id, match }));
  }
}
