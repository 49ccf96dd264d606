/**
 * Forged, swapped and guessed ids, tried on the guests after everything else: a submission under another user's owner nonce, and one
 * under the id of an earlier command with another body. Each must be refused; nothing of it may run.
 */
import { v7 } from 'uuid';
import { InnkeeperError } from '../../../src/client.js';
import { createGuest } from '../../../src/guest/create-guest.js';
import type { Guest, GuestCommand } from '../../../src/guest/guest.js';
import { createDedalusProvider } from '../../../src/machines/dedalus/provider.js';
import { readLines } from '../../../src/story/record/guest-record.js';
import type { MachineTruth } from '../run-context.js';
import type { Rig } from '../rig.js';
import type { Check } from './check.js';

/** Above whatever the workers have used: the last attachment that these machines will see. */
const ATTACHMENT = 1_000_000_000;
const TRY_MS_MAX = 20_000;
const TARGETS_MAX = 3;
const TRACE = 'forged.txt';

interface Target {
  readonly userId: string;
  readonly machineId: string;
  readonly nonce: string;
  /** A command that has run on it. */
  readonly cmdId: string;
}

export async function checkForgeries(rig: Rig): Promise<Check> {
  const { url, apiKey } = rig.stack.emulator;
  const newKey = (): string => v7().replaceAll('-', '');
  const machines = createDedalusProvider({
    baseUrl: url,
    apiKey,
    takesAutosleep: 'auto',
    sendIfMatch: true,
    terminalProtocol: 'auto',
    requestTimeoutMs: 5_000,
    newKey,
  });
  const guest = createGuest({ machines, newKey });
  const targets = await rig.sql<Target>(
    `select m.user_id as "userId", m.machine_id as "machineId", m.owner_nonce as nonce,
       (select max(c.cmd_id) from tool_calls c join turns t using (turn_key)
        where t.user_id = m.user_id and c.outcome = 'exited' and c.submitted_generation = m.generation) as "cmdId"
     from machines m where m.phase = 'asleep' order by m.user_id limit $1`,
    [TARGETS_MAX],
  );
  const violations: string[] = [];
  let looked = 0;
  for (const [index, target] of targets.entries()) {
    if (target.cmdId === null) continue;
    const stranger = targets[(index + 1) % targets.length]?.nonce ?? '';
    if (stranger !== target.nonce) {
      looked += 1;
      const isTaken = await isCarriedOut(guest, { ...target, nonce: stranger, cmdId: `forged-${index}` });
      if (isTaken) violations.push(`the machine of ${target.userId} took the nonce of another user`);
    }
    looked += 1;
    if (await isCarriedOut(guest, target)) violations.push(`${target.cmdId} was answered for another body`);
    const truth = await rig.stack.emulator.get<MachineTruth>(`/_emulator/machines/${target.machineId}`);
    if (readLines(truth.homePath, TRACE).length > 0) violations.push(`a forged command ran for ${target.userId}`);
  }
  return { name: 'P8 forged', promise: 'forged, swapped and guessed ids are refused', looked, violations };
}

/** @returns false where the guest refused, which is what a conflict says. @throws what says nothing about it */
async function isCarriedOut(guest: Guest, { machineId, nonce, cmdId }: Target): Promise<boolean> {
  const signal = AbortSignal.timeout(TRY_MS_MAX);
  const command: GuestCommand = {
    cmdId,
    bodyHash: 'f'.repeat(64),
    script: `echo forged >> ~/${TRACE}`,
    historyLine: undefined,
    timeoutMs: 5_000,
    outputHeadBytes: 1_024,
    outputTailBytes: 1_024,
  };
  try {
    const attached = await guest.attach({ machineId, attachment: ATTACHMENT, ownerNonce: nonce, signal });
    try {
      await attached.run(command, { submittedBootId: attached.identity.bootId, signal });
    } finally {
      await attached.close();
    }
    return true;
  } catch (error) {
    if (InnkeeperError.is(error) && error.code === 'GUEST_CONFLICT') return false;
    throw error;
  }
}
