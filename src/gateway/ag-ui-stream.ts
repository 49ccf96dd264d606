/**
 * A turn as a run of AG-UI: a step for each of the agent's, with a message of its own and its commands as tool calls that have results. Text
 * cannot be taken back there: a message that the record does not hold is ended as void, and what it holds follows in another. What
 * the protocol has no word for comes as CUSTOM, named as in our own event log.
 */
import type { FeedItem } from '../client.js';
import { ERROR_TABLE } from '../contracts/errors.js';
import type { EventCall, TurnDelta, TurnEventBody } from '../contracts/events.js';
import { argumentsOf, callIdOf, NOT_RUN } from './call-words.js';
import type { Projection } from './event-streams.js';
import { ToldText, type Telling } from './told-text.js';

type Ended = Extract<TurnEventBody, { type: 'turn.ended' }>;
type Answered = Extract<TurnEventBody, { type: 'step.answered' }>;
interface Event {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A message as a client sends it, and gets it back. */
export interface AgUiMessage {
  readonly id: string;
  readonly role: string;
}

export interface AgUiRun {
  readonly threadId: string;
  /** The turn's id. */
  readonly runId: string;
  /** The conversation as the client has it. */
  readonly messages: readonly AgUiMessage[];
}

interface OpenStep {
  readonly step: number;
  readonly told: ToldText;
  /** Messages of the step that turned out void. */
  voids: number;
  isTextOpen: boolean;
  /** Calls that were made and have no result yet. */
  readonly open: Set<number>;
}

export class AgUiStream implements Projection {
  readonly opening: string;
  readonly broken = '';
  readonly #run: Pick<AgUiRun, 'threadId' | 'runId'>;
  #now: OpenStep | undefined;
  /** To be sent with the next item. */
  #text = '';

  constructor({ threadId, runId, messages }: AgUiRun) {
    this.#run = { threadId, runId };
    this.opening = toText({ type: 'RUN_STARTED', threadId, runId });
    // A client that follows the run again would put its text behind what it has of it: told from the beginning, that is to go.
    const others = messages.filter(({ id }) => !id.startsWith(`${runId}/`));
    if (others.length < messages.length) this.#text = toText({ type: 'MESSAGES_SNAPSHOT', messages: others });
  }

  textOf(item: FeedItem): string {
    if ('delta' in item) this.#takeDelta(item.delta);
    else this.#takeEvent(item.event.body);
    const text = this.#text;
    this.#text = '';
    return text;
  }

  #send(event: Event): void {
    this.#text += toText(event);
  }

  #sendCustom({ type: name, ...value }: { readonly type: string }): void {
    this.#send({ type: 'CUSTOM', name, value });
  }

  #takeEvent(body: TurnEventBody): void {
    switch (body.type) {
      case 'step.answered':
        return this.#answer(body);
      case 'command.ended': {
        const { step, index, output, outcome, exitCode, outputBytes, cmdId } = body;
        this.#enter(step).open.delete(index);
        return this.#sendResult(step, index, output, { outcome, exitCode, outputBytes, cmdId });
      }
      case 'turn.ended':
        return this.#end(body);
      default:
        return this.#sendCustom(body);
    }
  }

  #answer({ step, text, calls }: Answered): void {
    const now = this.#enter(step);
    this.#say(now, now.told.settle(text));
    this.#endText(now);
    for (const call of calls) this.#call(now, call);
    if (calls.length === 0) this.#leave();
  }

  #call(now: OpenStep, call: EventCall): void {
    const toolCallId = this.#callId(now.step, call.index);
    const parentMessageId = this.#messageId(now);
    now.open.add(call.index);
    // Whole: arguments that were told in pieces could not be taken back.
    this.#send({ type: 'TOOL_CALL_START', toolCallId, toolCallName: call.tool, parentMessageId });
    this.#send({ type: 'TOOL_CALL_ARGS', toolCallId, delta: JSON.stringify(argumentsOf(call)) });
    this.#send({ type: 'TOOL_CALL_END', toolCallId });
  }

  #sendResult(step: number, index: number, content: string, about?: object): void {
    const toolCallId = this.#callId(step, index);
    const metadata = about === undefined ? {} : { metadata: { innkeeper: about } };
    const messageId = `${toolCallId}/result`;
    this.#send({ type: 'TOOL_CALL_RESULT', messageId, toolCallId, content, role: 'tool', ...metadata });
  }

  #end({ outcome, code }: Ended): void {
    this.#leave();
    if (outcome === 'failed') {
      const failure = code ?? 'INTERNAL';
      return this.#send({ type: 'RUN_ERROR', message: ERROR_TABLE[failure].advice, code: failure });
    }
    const type = outcome === 'completed' ? 'success' : 'cancelled';
    this.#send({ type: 'RUN_FINISHED', ...this.#run, outcome: { type } });
  }

  #takeDelta({ step, index, body }: TurnDelta): void {
    const now = this.#enter(step);
    if (index !== null) return this.#sendCustom({ ...body, ...{ toolCallId: this.#callId(step, index) } });
    if (body.type === 'answer.delta') this.#say(now, now.told.hear(body.text));
    else if (body.type === 'part.restarted') now.told.restart();
    else if (body.type === 'part.resync') now.told.lose();
  }

  #say(now: OpenStep, { isVoid, more }: Telling): void {
    if (isVoid) this.#dropText(now);
    if (more === '') return;
    const messageId = this.#messageId(now);
    if (!now.isTextOpen) this.#send({ type: 'TEXT_MESSAGE_START', messageId, role: 'assistant' });
    now.isTextOpen = true;
    this.#send({ type: 'TEXT_MESSAGE_CONTENT', messageId, delta: more });
  }

  #endText(now: OpenStep, about: object = {}): void {
    if (!now.isTextOpen) return;
    now.isTextOpen = false;
    this.#send({ type: 'TEXT_MESSAGE_END', messageId: this.#messageId(now), ...about });
  }

  /** What was told is not in the record: what is said next is another message. */
  #dropText(now: OpenStep): void {
    if (!now.isTextOpen) return;
    this.#endText(now, { metadata: { innkeeper: { void: true } } });
    now.voids += 1;
  }

  #enter(step: number): OpenStep {
    if (this.#now?.step === step) return this.#now;
    this.#leave();
    this.#send({ type: 'STEP_STARTED', stepName: nameOf(step) });
    return (this.#now = { step, told: new ToldText(), voids: 0, isTextOpen: false, open: new Set() });
  }

  /** What is open in a step by its end stays without an end in the record too. */
  #leave(): void {
    const now = this.#now;
    if (now === undefined) return;
    this.#dropText(now);
    for (const index of now.open) this.#sendResult(now.step, index, NOT_RUN);
    this.#send({ type: 'STEP_FINISHED', stepName: nameOf(now.step) });
    this.#now = undefined;
  }

  #messageId({ step, voids }: OpenStep): string {
    const first = `${this.#run.runId}/${step}/text`;
    return voids === 0 ? first : `${first}/${voids}`;
  }

  #callId(step: number, index: number): string {
    return callIdOf({ turnId: this.#run.runId, step, index });
  }
}

const nameOf = (step: number): string => `step ${step}`;

function toText(event: Event): string {
  return `data: ${JSON.stringify(event)}\n\n`;
}
