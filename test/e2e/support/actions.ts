/** What end-to-end tests do again and again with a user. */
import type { InnkeeperClient, TurnView } from '../../../src/client.js';
import { waitFor } from '../../support/wait-for.js';
import type { Stage } from './stage.js';

export const TURN_MS = 120_000;

/** Submits a turn and waits for its end. */
export async function say(
  client: InnkeeperClient,
  turn: { userId: string; turnId: string; prompt: string },
): Promise<TurnView> {
  await client.submitTurn(turn);
  return endOf(client, turn);
}

export function endOf(
  client: InnkeeperClient,
  { userId, turnId }: { userId: string; turnId: string },
): Promise<TurnView> {
  return client.turnResult({ userId, turnId, timeoutMs: TURN_MS });
}

/** Waits until the user's machine has written a line into one of its files: a command is in the middle of its work. */
export async function untilWritten(stage: Stage, userId: string, file: string, lines = 1): Promise<void> {
  await waitFor(`${userId} has written ${file}`, async () => {
    const machine = await stage.database.machine(userId);
    if (machine?.machineId === undefined || machine.machineId === null) return false;
    return (await stage.lines(userId, file)).length >= lines;
  });
}

export async function untilPhase(stage: Stage, userId: string, phase: string): Promise<void> {
  await waitFor(
    `the machine of ${userId} is ${phase}`,
    async () => (await stage.database.machine(userId))?.phase === phase,
  );
}
