/**
 * The activity `act`: one tool call, at most once. Postgres says under which boot it was submitted before anything is sent;
 * the machine's journal says what became of it.
 */
import type { ActResult, CallOutcome, StepInput } from '../contracts/activities.js';
import { InnkeeperError } from '../contracts/errors.js';
import { COMMAND_OUTPUT_HEAD_BYTES, COMMAND_OUTPUT_TAIL_BYTES } from '../contracts/limits.js';
import type { CommandStatus, GuestCommand } from '../guest/guest.js';
import { bodyHash, compileToolCall, renderStatus } from '../guest/tools.js';
import { beginCall, nextAttachment, settleCall, storeSubmission, type BegunCall } from '../store/calls.js';
import type { Store } from '../store/pool.js';
import { activity, cancellationSignal, laneRun, withHeartbeat, type ActivityLog } from './context.js';
import type { Guests, HeldAttachment } from './guests.js';
import type { KeepAwake } from './keep-awake.js';
import { toGuestError } from './guest-errors.js';
import { settlementOf, type Settlement } from './settlement.js';

export interface ActDeps {
  readonly store: Store;
  readonly guests: Guests;
  readonly keepAwake: KeepAwake;
  readonly log: ActivityLog;
}

export type ActInput = StepInput & { readonly index: number };

export function createAct(deps: ActDeps): (input: ActInput) => Promise<ActResult> {
  const { store, guests } = deps;

  async function attach(begun: BegunCall): Promise<HeldAttachment> {
    const run = laneRun();
    const { machine } = begun;
    if (machine === undefined || machine.phase !== 'ready' || machine.machineId === undefined) {
      throw new InnkeeperError('MACHINE_ASLEEP', 'The machine is not awake.');
    }
    return guests.attach(
      run.workflowId,
      { generation: machine.generation, machineId: machine.machineId, ownerNonce: machine.ownerNonce },
      { nextNumber: () => nextAttachment(store, run), signal: cancellationSignal() },
    );
  }

  async function settle(input: ActInput, begun: BegunCall, settlement: Settlement): Promise<ActResult> {
    const { turnKey, step, index } = input;
    const stored = await settleCall(store, { ...laneRun(), turnKey, step, index, try: begun.try, ...settlement });
    return { kind: 'settled', outcome: stored.outcome, exitCode: stored.exitCode };
  }

  async function runOnce(input: ActInput, begun: BegunCall, report: (outputBytes: number) => void): Promise<ActResult> {
    const run = laneRun();
    const { turnKey, step, index } = input;
    const command = commandOf(begun);
    if (begun.submitted !== undefined && begun.submitted.generation !== begun.machine?.generation) {
      return settle(input, begun, lostWithMachine());
    }
    const held = await attach(begun);
    const { generation } = held;
    const { bootId } = held.guest.identity;
    let submittedBootId = begun.submitted?.bootId;
    if (submittedBootId === undefined) {
      const isStored = await storeSubmission(store, {
        ...run,
        turnKey,
        step,
        index,
        try: begun.try,
        generation,
        bootId,
      });
      if (!isStored) return { kind: 'closed' };
      submittedBootId = bootId;
    }
    const status = await held.guest.run(command, {
      submittedBootId,
      signal: cancellationSignal(),
      onProgress: ({ outputBytes }) => report(outputBytes),
    });
    return settle(input, begun, settlementOf(status, 'cancelled', renderStatus(status)));
  }

  return (input) =>
    activity(deps.log, async () => {
      const run = laneRun();
      const { turnKey, step, index } = input;
      const warm = guests.peek(run.workflowId);
      const boot = warm === undefined ? null : { generation: warm.generation, bootId: warm.guest.identity.bootId };
      const begun = await beginCall(store, { ...run, turnKey, step, index, boot });
      if (begun.kind !== 'begin') return begun;
      try {
        return await withHeartbeat({ phase: 'command', step }, (report) =>
          deps.keepAwake.during(begun.machine?.machineId, () =>
            runOnce(input, begun, (outputBytes) => report({ outputBytes })),
          ),
        );
      } catch (error) {
        throw await toGuestError(error, { guests, workflowId: run.workflowId });
      }
    });
}

function commandOf(begun: BegunCall): GuestCommand {
  const { cmdId, tool, argumentsJson } = begun.call;
  const compiled = compileToolCall(tool, argumentsJson);
  // `think` stores what does not compile as settled, so this is a defect, or a release that takes less than the one before.
  if (!compiled.ok) throw new InnkeeperError('INTERNAL', 'A stored tool call does not compile.');
  const limits = { outputHeadBytes: COMMAND_OUTPUT_HEAD_BYTES, outputTailBytes: COMMAND_OUTPUT_TAIL_BYTES };
  const body = { script: compiled.script, historyLine: compiled.historyLine, timeoutMs: compiled.timeoutMs, ...limits };
  return { cmdId, bodyHash: bodyHash(body), ...body };
}

function lostWithMachine(): Settlement {
  const outcome: CallOutcome = 'unknown';
  const status: CommandStatus = { kind: 'void', reason: 'boot_changed', output: NO_OUTPUT };
  return { ...settlementOf(status, 'cancelled', renderStatus(status)), outcome, reason: 'machine_replaced' };
}

const NO_OUTPUT = { totalBytes: 0, head: new Uint8Array(), tail: new Uint8Array() };
