/**
 * A turn as the events of OpenAI's Responses API: one message that grows. Their numbers count events and characters, and so are the
 * same in every stream of a turn, however its text is cut into pieces: a reader goes on behind any of them. The end is told to
 * everybody who asks, whatever they have heard.
 */
import type { FeedItem, TurnView } from '../client.js';
import type { Projection } from './event-streams.js';
import { openAiId } from './openai-ids.js';
import { toMessage, toPart, toResponse, type ResponseTurn, type ResponseView } from './openai-response-view.js';
import { BROKEN } from './openai-shape.js';
import { createTurnText, type CommandsShown } from './turn-text.js';

/** Where text became void, numbers go on so far ahead: who has heard it lacks all that comes. */
const NUMBERS_OF_A_TRY = 2 ** 32;

export interface ResponseEventsOf {
  readonly turn: ResponseTurn;
  readonly shown: CommandsShown;
  /** Number of the last event that the reader has. */
  readonly startingAfter: number | undefined;
  /** The turn as it stands. */
  readonly read: () => Promise<TurnView>;
}

export function toResponseEvents({ turn, shown, startingAfter = -1, read }: ResponseEventsOf): Projection {
  const said = createTurnText(shown);
  const place = { item_id: openAiId('msg', turn), output_index: 0, content_index: 0 };
  let tries = Math.floor(Math.max(0, startingAfter) / NUMBERS_OF_A_TRY);
  /** As it was, though it may be over by now. */
  const begun = (state: 'queued' | 'running'): ResponseView => toResponse({ ...turn, state, endedAt: null });
  /** So far: events that are no text, and characters. */
  let events = 0;
  let characters = 0;
  let isOpen = false;

  const next = (): number => tries * NUMBERS_OF_A_TRY + events + characters;

  function event(type: string, fields: object): string {
    const number = next();
    events += 1;
    return number <= startingAfter ? '' : write(type, number, fields);
  }

  function openMessage(): string {
    if (isOpen) return '';
    isOpen = true;
    const item = toMessage(turn, undefined, 'in_progress');
    const added = event('response.output_item.added', { output_index: 0, item });
    return added + event('response.content_part.added', { ...place, part: toPart('') });
  }

  function closeMessage(status: 'completed' | 'incomplete'): string {
    const { text } = said;
    const done = event('response.output_text.done', { ...place, text, logprobs: [] });
    const partDone = event('response.content_part.done', { ...place, part: toPart(text) });
    const item = toMessage(turn, text, status);
    return done + partDone + event('response.output_item.done', { output_index: 0, item });
  }

  function sayMore(item: FeedItem): string {
    const { text, isAnew, command } = said.push(item);
    if (command !== undefined)
      return event('response.in_progress', { response: begun('running'), innkeeper: { command } });
    if (text === '') return '';
    const opening = openMessage();
    if (isAnew) tries += 1;
    const delta = isAnew ? text : text.slice(Math.max(0, startingAfter + 1 - next()));
    characters = said.length;
    if (delta === '') return opening;
    return opening + write('response.output_text.delta', next() - 1, { ...place, delta, logprobs: [] });
  }

  async function end(): Promise<string> {
    const ended: ResponseTurn = { ...turn, ...(await read()) };
    const isCompleted = ended.state === 'completed';
    const opening = isCompleted ? openMessage() : '';
    const closing = isOpen ? closeMessage(isCompleted ? 'completed' : 'incomplete') : '';
    // There is no event of its own for a cancel: the response says it.
    const type = isCompleted ? 'response.completed' : 'response.failed';
    const response = toResponse(ended, said);
    const told = event(type, { response });
    if (told !== '') return opening + closing + told;
    // They have it and ask again, or have heard more than was kept: of a model's try that broke off, or of a turn that was cancelled.
    tries += 1;
    return event(type, { response });
  }

  /** The error twice: as the API has it, and where its clients look for one that ends a stream. */
  function broken(): string {
    const { code, message, param } = BROKEN;
    return write('error', next(), { code, message, param, error: BROKEN });
  }

  return {
    opening: event('response.created', { response: begun('queued') }) || ':\n\n',
    textOf(item) {
      if (!('event' in item)) return sayMore(item);
      switch (item.event.body.type) {
        case 'turn.queued':
          return event('response.queued', { response: begun('queued') });
        case 'turn.started':
          return event('response.in_progress', { response: begun('running') });
        case 'turn.ended':
          return end();
        default:
          return sayMore(item);
      }
    },
    get broken() {
      return broken();
    },
  };
}

function write(type: string, number: number, fields: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: number, ...fields })}\n\n`;
}
