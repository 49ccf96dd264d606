/** Faults in the middle of a command: something is done to its lane, its guest, its machine, or the turn is cancelled. */
import type { PlannedFault, PlannedTurn } from '../plan/plan.js';
import type { RunContext } from '../run-context.js';
import { surely, within } from '../surely.js';
import { killAll, runnersOf } from './guest-faults.js';
import { onLane, resetLane } from './lane-faults.js';

/** A command that has not begun by now is not going to be met. */
const BEGIN_MS_MAX = 45_000;
const OVER = new Set(['completed', 'failed', 'cancelled']);

export async function strikeCommand(
  context: RunContext,
  userId: string,
  turn: PlannedTurn,
  fault: PlannedFault,
): Promise<void> {
  const { journal, rig } = context;
  const commandId = turn.commands[0]?.id ?? '';
  const isOver = async (): Promise<boolean> => {
    const [row] = await rig.sql<{ state: string }>('select state from turns where user_id = $1 and turn_id = $2', [
      userId,
      turn.turnId,
    ]);
    return OVER.has(row?.state ?? '');
  };
  let isRunning = false;
  await within(BEGIN_MS_MAX, async () => (isRunning = await context.isRunning(userId, commandId)) || isOver());
  if (!isRunning) return journal.miss(fault, 'its command was not met while it ran');
  const atMs = Date.now();
  const isEffective = await carryOut(context, userId, turn, fault);
  if (isEffective === undefined) return journal.miss(fault, 'what it strikes was gone');
  journal.struck({ fault, userId, turnId: turn.turnId, atMs, untilMs: Date.now(), isEffective });
}

/** @returns whether it landed while the command ran; undefined: it could not be carried out */
async function carryOut(
  context: RunContext,
  userId: string,
  turn: PlannedTurn,
  fault: PlannedFault,
): Promise<boolean | undefined> {
  const { emulator, client } = context.rig.stack;
  const { lanes, gateways } = context.rig;
  const machine = await context.machine(userId);
  if (machine === undefined) return undefined;
  const act = (action: string): Promise<boolean | undefined> =>
    emulator.call('POST', `/_emulator/machines/${machine.machineId}/${action}`).then(
      () => true,
      () => undefined, // It is on its way from one phase to another: not what was to be struck.
    );
  const guest = (part: 'serve' | 'run'): boolean | undefined =>
    machine.initPid !== null && killAll(runnersOf(machine.initPid, part)) > 0 ? true : undefined;
  switch (fault.kind) {
    case 'lane-terminated':
      return onLane(() => lanes.of(userId).terminate('the fault suite'));
    case 'lane-cancelled':
      return onLane(() => lanes.of(userId).cancel());
    case 'lane-reset':
      return onLane(() => resetLane(lanes, userId, fault.id));
    case 'guest-shell-killed':
      return guest('serve');
    case 'guest-runner-killed':
      return guest('run');
    case 'guest-killed':
      return act('kill');
    case 'machine-deleted':
      return act('delete');
    case 'machine-autosleep':
      return act('autosleep');
    case 'disk-rolled-back':
      return act('rollback');
    case 'turn-cancelled': {
      const { turnId } = turn;
      if (turn.via === 'signal') return onLane(() => lanes.of(userId).signal('cancelTurn', { turnId }));
      const cancel = (): Promise<unknown> =>
        turn.via === 'http'
          ? gateways.post(`/v1/users/${userId}/turns/${turnId}/cancel`)
          : client.cancelTurn({ userId, turnId });
      return surely(cancel).then(() => true);
    }
    default:
      throw new Error(`${fault.kind} does not strike a command`);
  }
}
