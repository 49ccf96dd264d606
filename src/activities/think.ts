/** The activity `think`: the answer of one step, by one model call unless the turn's call was given with it. Its result is stored once, in the transaction that may close the turn. */
import type { LaneSettings, StepInput, ThinkResult, TurnOutcome } from '../contracts/activities.js';
import { InnkeeperError, type ErrorCode } from '../contracts/errors.js';
import type { TurnDeltaBody } from '../contracts/events.js';
import { CONTEXT_TURNS_MAX, EMPTY_ANSWERS_MAX, MODEL_ATTEMPTS_MAX } from '../contracts/limits.js';
import { toolDefinitions } from '../contracts/tools.js';
import type { ChatAnswer, ChatDelta, ChatModel } from '../model/chat-model.js';
import { buildContext } from '../model/context.js';
import type { SystemPromptTemplate } from '../model/system-prompt.js';
import { loadConversation, type Conversation } from '../store/conversation.js';
import { ANSWER_PART } from '../store/deltas.js';
import { getMachine } from '../store/machines.js';
import type { Store } from '../store/pool.js';
import { beginStep, countModelFailure, storeAnswer } from '../store/steps.js';
import { activity, cancellationSignal, laneRun, type ActivityLog } from './context.js';
import { toGivenAnswer } from './given-answer.js';
import { withHeartbeat } from './heartbeat.js';
import type { KeepAwake } from './keep-awake.js';
import { openLivePart, type LivePart, type LiveText } from './live-text.js';
import { toNewCalls } from './new-calls.js';
import { factsOf } from './prompt-facts.js';

export interface ThinkDeps {
  readonly store: Store;
  readonly model: ChatModel;
  readonly systemPrompt: SystemPromptTemplate;
  readonly contextBytesMax: number;
  /** For turns that are opened here. */
  readonly defaults: LaneSettings;
  readonly keepAwake: KeepAwake;
  readonly live: LiveText;
  readonly log: ActivityLog;
}

/** Says why a text ended where it did; part of the answer, since the person who chats should know it too. */
const CUT_NOTE = '\n\n[The answer reached the length limit of the model and ends here.]';

export type ThinkInput = StepInput & { readonly mayOpen?: true };

type StepTry = Pick<StepInput, 'turnKey' | 'step'> & { readonly try: number };

/** Failures of the model at one step after which the turn fails with the model's code. */
const FAILURES_MAX: Partial<Readonly<Record<ErrorCode, number>>> = {
  MODEL_EMPTY_ANSWER: EMPTY_ANSWERS_MAX,
  MODEL_UNAVAILABLE: MODEL_ATTEMPTS_MAX,
  MODEL_RATE_LIMITED: MODEL_ATTEMPTS_MAX,
};

export function createThink(deps: ThinkDeps): (input: ThinkInput) => Promise<ThinkResult> {
  /** After these no attempt is made. */
  const lastErrors = new WeakSet<InnkeeperError>();

  async function ask(userId: string, conversation: Promise<Conversation>, live: LivePart): Promise<ChatAnswer> {
    const { store, contextBytesMax: bytesMax } = deps;
    const [{ turns, omitsEarlier }, machine] = await Promise.all([conversation, getMachine(store, { userId })]);
    const systemPrompt = deps.systemPrompt.render(factsOf(userId, machine));
    const messages = buildContext({ systemPrompt, turns, omitsEarlier, bytesMax });
    const awake = async (): Promise<string | undefined> => {
      const row = await getMachine(store, { userId });
      return row?.phase === 'ready' ? (row.machineId ?? undefined) : undefined;
    };
    const answer = await deps.keepAwake.during(laneRun().workflowId, awake, () =>
      deps.model.complete({
        messages,
        tools: toolDefinitions,
        signal: cancellationSignal(),
        onDelta: (delta) => live.push(toBody(delta)),
      }),
    );
    if (answer.content.trim() === '' && answer.toolCalls.length === 0 && answer.finish !== 'refused') {
      throw new InnkeeperError('MODEL_EMPTY_ANSWER', 'The model answered with neither text nor a tool call.');
    }
    return answer;
  }

  async function answerOf(userId: string, at: StepTry, conversation: Promise<Conversation>): Promise<ChatAnswer> {
    const live = openLivePart(deps, { ...at, index: ANSWER_PART });
    try {
      return await ask(userId, conversation, live);
    } catch (error) {
      throw await counted(error, at);
    } finally {
      await live.close();
    }
  }

  async function think(input: ThinkInput): Promise<ThinkResult> {
    const { store, contextBytesMax: bytesMax } = deps;
    // Read meanwhile: nothing is said in a turn between two of its steps, or by another turn while this one is opened.
    const conversation = loadConversation(store, { turnKey: input.turnKey, turnsMax: CONTEXT_TURNS_MAX, bytesMax });
    conversation.catch(() => undefined); // Thrown where it is read; not needed for a step that is over, or given.
    const { turnKey, step } = input;
    const opens = input.mayOpen === true ? { opens: deps.defaults } : {};
    const begun = await beginStep(store, { ...laneRun(), turnKey, step, ...opens });
    if (begun.kind === 'closed' || begun.kind === 'not_next') return begun;
    if (begun.kind === 'answered') return { kind: 'calls', calls: begun.calls };
    const answer =
      begun.given === undefined
        ? await answerOf(begun.userId, { turnKey, step, try: begun.try }, conversation)
        : toGivenAnswer(begun.given);
    const result = await storeAnswer(store, {
      ...laneRun(),
      turnKey,
      step,
      try: begun.try,
      answer: {
        text: answer.finish === 'length' && answer.toolCalls.length === 0 ? answer.content + CUT_NOTE : answer.content,
        finish: answer.finish,
        model: answer.model,
        usage: answer.usage,
      },
      calls: toNewCalls(answer.toolCalls),
      close: closeOf(answer),
    });
    return begun.opened === undefined ? result : { ...result, opened: begun.opened };
  }

  /**
   * The model's failures are counted in Postgres, since attempts are lost to other things as well: only as many of its own end the
   * turn. One that cannot be counted is not the last.
   */
  async function counted(thrown: unknown, at: StepTry): Promise<unknown> {
    const failuresMax = InnkeeperError.is(thrown) ? FAILURES_MAX[thrown.code] : undefined;
    if (failuresMax === undefined || cancellationSignal().aborted) return thrown;
    const failures = await countModelFailure(deps.store, at).catch(() => 0);
    if (failures >= failuresMax) lastErrors.add(thrown as InnkeeperError);
    return thrown;
  }

  return (input) =>
    activity(
      deps.log,
      () => withHeartbeat({ phase: 'model', step: input.step }, () => think(input)),
      (error) => InnkeeperError.is(error) && lastErrors.has(error),
    );
}

function closeOf(answer: ChatAnswer): { outcome: TurnOutcome; code: ErrorCode | null } | null {
  if (answer.finish === 'refused') return { outcome: 'failed', code: 'MODEL_REFUSED' };
  return answer.toolCalls.length === 0 ? { outcome: 'completed', code: null } : null;
}

function toBody(delta: ChatDelta): TurnDeltaBody {
  if (delta.kind === 'text') return { type: 'answer.delta', text: delta.text };
  return { type: 'call.delta', index: delta.index, tool: delta.name, argumentsJson: delta.argumentsJson };
}
