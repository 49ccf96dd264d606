/** What a turn is answered whose tool call is given: by its first step the call, by the next one nothing more. No model is asked. */
import type { ChatAnswer } from '../model/chat-model.js';
import type { GivenStep } from '../store/given-call.js';

/** In the place of a model's name and of its call's id. */
const GIVEN = 'given';

export function toGivenAnswer({ call }: GivenStep): ChatAnswer {
  const said = { content: '', model: GIVEN, usage: undefined };
  if (call === undefined) return { ...said, finish: 'stop', toolCalls: [] };
  const { tool: name, argumentsJson } = call;
  return { ...said, finish: 'tool_calls', toolCalls: [{ id: GIVEN, name, argumentsJson }] };
}
