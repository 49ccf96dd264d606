/**
 * The activity `act`: one tool call, at most once. Postgres says under which boot it was submitted before anything is sent;
 * the machine's journal says what became of it. While a person has the keyboard, nothing is submitted that was not before.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ActResult, StepInput } from '../contracts/activities.js';
import { InnkeeperError } from '../contracts/errors.js';
import { COMMAND_OUTPUT_HEAD_BYTES, COMMAND_OUTPUT_TAIL_BYTES } from '../contracts/limits.js';
import { createColourText } from '../guest/colour-text.js';
import type { GuestAttachment, GuestCommand, OutputListener } from '../guest/guest.js';
import { bodyHash, compileToolCall } from '../guest/tools.js';
import { beginCall, type BegunCall } from '../store/calls.js';
import { settleCall } from '../store/settle.js';
import { storeSubmission } from '../store/submission.js';
import { activity, cancellationSignal, isCancelledByLane, laneRun, type ActivityLog } from './context.js';
import type { HeldAttachment } from './guests.js';
import { withHeartbeat } from './heartbeat.js';
import type { KeepAwake } from './keep-awake.js';
import { openLivePart, type LivePart, type LiveText } from './live-text.js';
import { onMachine, type AttachableRow, type OnMachineDeps } from './on-machine.js';
import {
  isOnLostBoot,
  isStopped,
  settlementOf,
  settlementOfReplaced,
  type Over,
  type Settlement,
} from './settlement.js';

export interface ActDeps extends OnMachineDeps {
  readonly keepAwake: KeepAwake;
  readonly live: LiveText;
  readonly log: ActivityLog;
}

type Begun = Extract<BegunCall, { kind: 'begin' }> & {
  /** The attachment that the submission is stored with already. */
  readonly storedFor: GuestAttachment | undefined;
};
export type ActInput = StepInput & { readonly index: number };
/** `held`: a person took the keyboard before the command was submitted. */
type Acted = ActResult | { readonly kind: 'held' };

/** Who hears of a command while it runs. */
interface Watchers {
  report(this: void, change: { outputBytes: number }): void;
  readonly output: OutputListener;
}

/** INT, TERM and KILL with 5 s between them, and the time to hear of it. */
const STOP_MS_MAX = 25_000;
/** How often it is looked whether a person has handed the keyboard back. */
const HELD_LOOK_MS = 500;

export function createAct(deps: ActDeps): (input: ActInput) => Promise<ActResult> {
  const { store, guests } = deps;

  async function settle(input: ActInput, begun: Begun, settlement: Settlement): Promise<ActResult> {
    const { turnKey, step, index } = input;
    const stored = await settleCall(store, { ...laneRun(), turnKey, step, index, try: begun.try, ...settlement });
    return { kind: 'settled', outcome: stored.outcome, exitCode: stored.exitCode };
  }

  /**
   * Runs the command and waits. Cancelled by the lane while it runs, it is stopped here too: the lane's own stop may have
   * looked before the submission was stored.
   */
  async function follow(
    held: HeldAttachment,
    command: GuestCommand,
    bootId: string,
    { report, output }: Watchers,
  ): Promise<Over> {
    try {
      return await held.guest.run(command, {
        submittedBootId: bootId,
        signal: cancellationSignal(),
        onProgress: ({ outputBytes }) => report({ outputBytes }),
        output,
      });
    } catch (error) {
      if (!isCancelledByLane() || held.guest.isBroken) throw error;
      return held.guest.stop(command.cmdId, {
        submittedBootId: bootId,
        signal: AbortSignal.timeout(STOP_MS_MAX),
      });
    }
  }

  /** May run again in the same try, over another attachment: what was sent over a lost one is looked up, not repeated. */
  async function runOn(held: HeldAttachment, input: ActInput, begun: Begun, watchers: Watchers): Promise<Acted> {
    const { turnKey, step, index } = input;
    const { identity, attachment } = held.guest;
    const { generation, bootId } = begun.submitted ?? { generation: held.generation, bootId: identity.bootId };
    if (begun.storedFor !== held.guest) {
      const submission = { ...laneRun(), turnKey, step, index, try: begun.try, generation, bootId, attachment };
      const stored = await storeSubmission(store, submission);
      if (stored !== 'stored') return { kind: stored };
    }
    const status = await follow(held, commandOf(begun), bootId, watchers);
    // The lane that stops it says with which word: it settles what it has stopped.
    if (isStopped(status) && isCancelledByLane()) throw cancellationSignal().reason;
    const settled = await settle(input, begun, settlementOf(status, 'interrupted'));
    // Another boot than this attachment's answered: the next command asks the lane to enter the machine anew.
    if (isOnLostBoot(status)) void guests.drop(laneRun().workflowId);
    return settled;
  }

  async function runOnce(input: ActInput, begun: Begun, watchers: Watchers): Promise<Acted> {
    const { machine, submitted } = begun;
    if (submitted !== null && submitted.generation !== machine?.generation) {
      return settle(input, begun, settlementOfReplaced());
    }
    if (machine === undefined || machine.phase !== 'ready' || machine.machineId === null) {
      throw new InnkeeperError('MACHINE_ASLEEP', 'The machine is not awake.');
    }
    const row: AttachableRow = { ...machine, machineId: machine.machineId };
    const { turnKey, step, index } = input;
    const forTry = { turnKey, step, index, try: begun.try };
    return deps.keepAwake.during(
      laneRun().workflowId,
      () => row.machineId,
      () => onMachine(deps, row, { boot: 'known', forTry }, (held) => runOn(held, input, begun, watchers)),
    );
  }

  /** Where this worker holds an attachment to the machine's boot, the submission is stored as the try begins. */
  async function begin({ turnKey, step, index }: ActInput): Promise<Begun | Exclude<BegunCall, { kind: 'begin' }>> {
    const run = laneRun();
    const warm = guests.peek(run.workflowId);
    const boot =
      warm === undefined
        ? null
        : { generation: warm.generation, bootId: warm.guest.identity.bootId, attachment: warm.guest.attachment };
    const begun = await beginCall(store, { ...run, turnKey, step, index, boot });
    if (begun.kind !== 'begin') return begun;
    return { ...begun, storedFor: begun.isSubmissionStored ? warm?.guest : undefined };
  }

  async function tryOnce(input: ActInput, report: Watchers['report']): Promise<Acted> {
    const begun = await begin(input);
    if (begun.kind !== 'begin') return begun;
    const { turnKey, step, index } = input;
    const live = openLivePart(deps, { turnKey, step, index, try: begun.try });
    return runOnce(input, begun, { report, output: showOutput(live) }).finally(() => live.close());
  }

  return (input) =>
    activity(deps.log, () =>
      withHeartbeat({ phase: 'command', step: input.step }, async (report) => {
        for (;;) {
          const acted = await tryOnce(input, report);
          if (acted.kind !== 'held') return acted;
          report({ phase: 'held by a person' });
          await delay(HELD_LOOK_MS, undefined, { signal: cancellationSignal() });
          report({ phase: 'command' });
        }
      }),
    );
}

/** What a command prints, as live text. */
function showOutput(live: LivePart): OutputListener {
  const colours = createColourText();
  let offset = 0;
  return {
    get offset() {
      return offset;
    },
    hear(bytes) {
      offset += bytes.length;
      const text = colours.push(bytes);
      if (text !== '') live.push({ type: 'output.delta', text });
    },
  };
}

function commandOf(begun: Begun): GuestCommand {
  const { cmdId, tool, argumentsJson } = begun.call;
  const compiled = compileToolCall(tool, argumentsJson);
  // `think` stores what does not compile as settled, so this is a defect, or a release that takes less than the one before.
  if (!compiled.ok) throw new InnkeeperError('INTERNAL', 'A stored tool call does not compile.');
  const limits = { outputHeadBytes: COMMAND_OUTPUT_HEAD_BYTES, outputTailBytes: COMMAND_OUTPUT_TAIL_BYTES };
  const body = { script: compiled.script, historyLine: compiled.historyLine, timeoutMs: compiled.timeoutMs, ...limits };
  return { cmdId, bodyHash: bodyHash(body), ...body };
}
