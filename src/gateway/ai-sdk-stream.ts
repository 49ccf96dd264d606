/**
 * A turn as the AI SDK's UI message stream (version 1): one message of the assistant, a step in it for each of the agent's, its commands as
 * dynamic tools that were run elsewhere. Nothing is ever taken back there: live text that the record does not hold is ended as void, and
 * what it holds follows in a part of its own.
 */
import type { FeedItem } from '../client.js';
import { ERROR_TABLE } from '../contracts/errors.js';
import type { TurnDelta, TurnDeltaBody, TurnEventBody } from '../contracts/events.js';
import { OUTPUT_TAIL_CHARACTERS_MAX } from '../contracts/limits.js';
import { answerIdOf, endOf, IS_VOID, ofCall } from './ai-sdk-messages.js';
import { argumentsOf, callIdOf, NOT_MADE, NOT_RUN } from './call-words.js';
import type { Projection } from './event-streams.js';
import { ToldText, type Telling } from './told-text.js';

type Ended = Extract<TurnEventBody, { type: 'turn.ended' }>;
type Answered = Extract<TurnEventBody, { type: 'step.answered' }>;

interface Chunk {
  readonly type: string;
  readonly [field: string]: unknown;
}

interface OpenStep {
  readonly step: number;
  readonly told: ToldText;
  /** Of the text part that is open. */
  textId: string | undefined;
  /** Text parts that were begun. */
  texts: number;
  /** Calls whose arguments are being told: their tools, by index; a new try begins them anew. */
  readonly coming: Map<number, { readonly toolName: string; isStale: boolean }>;
  isComingLost: boolean;
  /** Calls that were made and have no outcome yet. */
  readonly open: Set<number>;
  /** End of what the command that runs has printed. */
  output: string;
}

/** Colours, which live output may have. */
const COLOURS = /\u001b\[[\d;:]*m/g;
const DONE = 'data: [DONE]\n\n';
/** Fields of every chunk about a tool: nobody else is to run it. */
const ELSEWHERE = { dynamic: true, providerExecuted: true } as const;

export class AiSdkStream implements Projection {
  readonly opening: string;
  readonly broken = '';
  readonly #turnId: string;
  #now: OpenStep | undefined;
  /** To be sent with the item that is being taken. */
  #text = '';

  constructor(turnId: string) {
    this.#turnId = turnId;
    this.opening = toText({ type: 'start', messageId: answerIdOf(turnId), messageMetadata: { turnId } });
  }

  textOf(item: FeedItem): string {
    if ('delta' in item) this.#takeDelta(item.delta);
    else this.#takeEvent(item.event.body);
    const text = this.#text;
    this.#text = '';
    return text;
  }

  #send(chunk: Chunk): void {
    this.#text += toText(chunk);
  }

  #takeEvent(body: TurnEventBody): void {
    switch (body.type) {
      case 'step.answered':
        return this.#answer(body);
      case 'command.ended': {
        const now = this.#enter(body.step);
        now.open.delete(body.index);
        now.output = '';
        const { state, ...end } = endOf(body);
        const toolCallId = this.#callId(body.step, body.index);
        return this.#send({ type: `tool-${state}`, toolCallId, ...end, ...ELSEWHERE });
      }
      case 'turn.ended':
        return this.#end(body);
      case 'machine.phase':
      case 'machine.replaced':
        // Told, and no part of the message.
        return this.#send({ type: 'data-machine', data: body, transient: true });
      default:
    }
  }

  #answer({ step, text, calls }: Answered): void {
    const now = this.#enter(step);
    this.#say(now, now.told.settle(text));
    this.#endText(now);
    for (const call of calls) {
      now.coming.delete(call.index);
      now.open.add(call.index);
      this.#send({
        ...{ type: 'tool-input-available', toolCallId: this.#callId(step, call.index), toolName: call.tool },
        ...{ input: argumentsOf(call), ...ofCall(call), ...ELSEWHERE },
      });
    }
    this.#dropComing(now);
    if (calls.length === 0) this.#leave();
  }

  #end({ outcome: state, code }: Ended): void {
    this.#leave();
    this.#send({ type: 'message-metadata', messageMetadata: { state, ...(code === null ? {} : { errorCode: code }) } });
    if (state === 'failed') {
      const failure = code ?? 'INTERNAL';
      this.#send({ type: 'error', errorText: `${failure}: ${ERROR_TABLE[failure].advice}` });
    }
    this.#send({ type: state === 'cancelled' ? 'abort' : 'finish' });
    this.#text += DONE;
  }

  #takeDelta({ step, index, body }: TurnDelta): void {
    const now = this.#enter(step);
    if (index !== null) return this.#print(now, index, body);
    switch (body.type) {
      case 'answer.delta':
        return this.#say(now, now.told.hear(body.text));
      case 'call.delta':
        return this.#takeArguments(now, body);
      case 'part.restarted':
        now.told.restart();
        now.isComingLost = false;
        for (const call of now.coming.values()) call.isStale = true;
        return;
      case 'part.resync':
        now.told.lose();
        now.isComingLost = true;
        return;
      case 'output.delta':
    }
  }

  #takeArguments(
    now: OpenStep,
    { index, tool: toolName, argumentsJson }: Extract<TurnDeltaBody, { type: 'call.delta' }>,
  ): void {
    // With a piece missing they would be no JSON.
    if (now.isComingLost) return;
    const toolCallId = this.#callId(now.step, index);
    if (now.coming.get(index)?.isStale !== false) {
      now.coming.set(index, { toolName, isStale: false });
      this.#send({ type: 'tool-input-start', toolCallId, toolName, ...ELSEWHERE });
    }
    this.#send({ type: 'tool-input-delta', toolCallId, inputTextDelta: argumentsJson });
  }

  /** Of the output that is there so far its end, as each piece of output replaces the one before. */
  #print(now: OpenStep, index: number, body: TurnDeltaBody): void {
    if (body.type !== 'output.delta') {
      now.output = '';
      return;
    }
    if (!now.open.has(index)) return;
    now.output = (now.output + body.text.replace(COLOURS, '')).slice(-OUTPUT_TAIL_CHARACTERS_MAX);
    const output = { output: now.output };
    this.#send({
      type: 'tool-output-available',
      toolCallId: this.#callId(now.step, index),
      output,
      preliminary: true,
      ...ELSEWHERE,
    });
  }

  #say(now: OpenStep, { isVoid, more }: Telling): void {
    if (isVoid) this.#endText(now, IS_VOID);
    if (more === '') return;
    if (now.textId === undefined) {
      now.textId = `${now.step}.${now.texts}`;
      now.texts += 1;
      this.#send({ type: 'text-start', id: now.textId });
    }
    this.#send({ type: 'text-delta', id: now.textId, delta: more });
  }

  #endText(now: OpenStep, about: object = {}): void {
    if (now.textId === undefined) return;
    this.#send({ type: 'text-end', id: now.textId, ...about });
    now.textId = undefined;
  }

  #dropComing(now: OpenStep): void {
    for (const [index, { toolName }] of now.coming) {
      const toolCallId = this.#callId(now.step, index);
      this.#send({
        type: 'tool-input-error',
        toolCallId,
        toolName,
        input: {},
        errorText: NOT_MADE,
        ...IS_VOID,
        ...ELSEWHERE,
      });
    }
    now.coming.clear();
  }

  #enter(step: number): OpenStep {
    if (this.#now?.step === step) return this.#now;
    this.#leave();
    this.#send({ type: 'start-step' });
    const empty = { coming: new Map(), open: new Set<number>(), isComingLost: false, output: '' };
    return (this.#now = { step, told: new ToldText(), textId: undefined, texts: 0, ...empty });
  }

  /** What is open in a step by its end stays without an end in the record too. */
  #leave(): void {
    const now = this.#now;
    if (now === undefined) return;
    this.#endText(now, IS_VOID);
    this.#dropComing(now);
    for (const index of now.open) {
      const toolCallId = this.#callId(now.step, index);
      this.#send({ type: 'tool-output-error', toolCallId, errorText: NOT_RUN, ...ELSEWHERE });
    }
    this.#send({ type: 'finish-step' });
    this.#now = undefined;
  }

  #callId(step: number, index: number): string {
    return callIdOf({ turnId: this.#turnId, step, index });
  }
}

function toText(chunk: Chunk): string {
  return `data: ${JSON.stringify(chunk)}\n\n`;
}
