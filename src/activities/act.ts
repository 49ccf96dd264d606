/**
 * The activity `act`: one tool call, at most once. Postgres says under which boot it was submitted before anything is sent;
 * the machine's journal says what became of it.
 */
import type { ActResult, CallOutcome, StepInput } from '../contracts/activities.js';
import { InnkeeperError } from '../contracts/errors.js';
import { COMMAND_OUTPUT_HEAD_BYTES, COMMAND_OUTPUT_TAIL_BYTES } from '../contracts/limits.js';
import type { GuestCommand } from '../guest/guest.js';
import { bodyHash, compileToolCall, renderStatus } from '../guest/tools.js';
import { beginCall, nextAttachment, storeSubmission, type BegunCall as AnyBegunCall } from '../store/calls.js';
import type { Store } from '../store/pool.js';
import { settleCall } from '../store/settle.js';
import { activity, cancellationSignal, laneRun, withHeartbeat, type ActivityLog } from './context.js';
import type { Guests, HeldAttachment } from './guests.js';
import type { KeepAwake } from './keep-awake.js';
import { toGuestError } from './guest-errors.js';
import { GONE, settlementOf, type Settlement } from './settlement.js';

export interface ActDeps {
  readonly store: Store;
  readonly guests: Guests;
  readonly keepAwake: KeepAwake;
  readonly log: ActivityLog;
}

type BegunCall = Extract<AnyBegunCall, { kind: 'begin' }>;
export type ActInput = StepInput & { readonly index: number };

export function createAct(deps: ActDeps): (input: ActInput) => Promise<ActResult> {
  const { store, guests } = deps;

  async function attach(begun: BegunCall): Promise<HeldAttachment> {
    const run = laneRun();
    const { machine } = begun;
    if (machine === undefined || machine.phase !== 'ready' || machine.machineId === null) {
      throw new InnkeeperError('MACHINE_ASLEEP', 'The machine is not awake.');
    }
    return guests.attach(
      run.workflowId,
      { generation: machine.generation, machineId: machine.machineId, ownerNonce: machine.ownerNonce },
      { nextNumber: async () => (await nextAttachment(store, run)).attachment, signal: cancellationSignal() },
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
    if (begun.submitted !== null && begun.submitted.generation !== begun.machine?.generation) {
      return settle(input, begun, {
        ...settlementOf(GONE, 'cancelled', renderStatus(GONE)),
        reason: 'machine_replaced',
      });
    }
    const held = await attach(begun);
    const { generation } = held;
    const { identity, attachment } = held.guest;
    const bootId = begun.submitted?.bootId ?? identity.bootId;
    if (begun.submitted === null && !begun.isSubmissionStored) {
      const submission = { ...run, turnKey, step, index, try: begun.try, generation, bootId, attachment };
      if (!(await storeSubmission(store, submission))) return { kind: 'closed' };
    }
    const status = await held.guest.run(command, {
      submittedBootId: bootId,
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
      const boot =
        warm === undefined
          ? null
          : {
              generation: warm.generation,
              bootId: warm.guest.identity.bootId,
              attachment: warm.guest.attachment,
            };
      const begun = await beginCall(store, { ...run, turnKey, step, index, boot });
      if (begun.kind !== 'begin') return begun;
      try {
        return await withHeartbeat({ phase: 'command', step }, (report) =>
          deps.keepAwake.during(begun.machine?.machineId ?? undefined, () =>
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
