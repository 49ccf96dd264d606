/** Reads a chat completions request as the built-in model needs it, and refuses what real services refuse. */

export interface ModelToolCall {
  readonly id: string;
  readonly name: string;
  readonly argumentsJson: string;
}

export interface ModelMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string;
  readonly toolCalls: readonly ModelToolCall[];
  readonly toolCallId: string | undefined;
}

export interface ModelRequest {
  readonly model: string;
  readonly messages: readonly ModelMessage[];
  readonly toolNames: readonly string[];
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

/** A request that a real service answers with 400. */
export class BadModelRequest extends Error {}

/** Blocks that a client marks as words of its own system are not what the person said. */
const NOTE_START = '<system-note>';
const NOTE_END = '</system-note>';

export function parseModelRequest(body: unknown): ModelRequest {
  const request = toRecord(body, 'the body');
  if (!Array.isArray(request['messages']) || request['messages'].length === 0) {
    throw new BadModelRequest('"messages" must be a list with at least one message');
  }
  const messages = request['messages'].map(parseMessage);
  assertPaired(messages);
  const tools: unknown[] = Array.isArray(request['tools']) ? request['tools'] : [];
  const streamOptions = request['stream_options'];
  return {
    model: typeof request['model'] === 'string' ? request['model'] : 'emulator',
    messages,
    toolNames: tools.map(parseToolName),
    stream: request['stream'] === true,
    includeUsage: isRecord(streamOptions) && streamOptions['include_usage'] === true,
  };
}

/** Place and text of the last thing the person said; `index` -1 where there is nothing. */
export function findPrompt(messages: readonly ModelMessage[]): { readonly index: number; readonly text: string } {
  for (let index = messages.length - 1; index >= 0; index -= 1) {
    const message = messages[index];
    if (message?.role !== 'user') continue;
    const text = withoutNotes(message.content);
    if (text.trim() !== '') return { index, text };
  }
  return { index: -1, text: '' };
}

/** By search and not by a pattern: that would read on to the end for every beginning of a note that has none. */
function withoutNotes(content: string): string {
  const kept: string[] = [];
  let at = 0;
  for (;;) {
    const start = content.indexOf(NOTE_START, at);
    const end = start < 0 ? -1 : content.indexOf(NOTE_END, start);
    if (end < 0) return kept.join('') + content.slice(at);
    kept.push(content.slice(at, start));
    at = end + NOTE_END.length;
  }
}

function parseMessage(value: unknown, index: number): ModelMessage {
  const message = toRecord(value, `messages[${index}]`);
  const role = message['role'] === 'developer' ? 'system' : message['role'];
  if (role !== 'system' && role !== 'user' && role !== 'assistant' && role !== 'tool') {
    throw new BadModelRequest(`messages[${index}].role is not one of system, developer, user, assistant, tool`);
  }
  const calls: unknown[] = Array.isArray(message['tool_calls']) ? message['tool_calls'] : [];
  const toolCallId = message['tool_call_id'];
  if (role === 'tool' && typeof toolCallId !== 'string') {
    throw new BadModelRequest(`messages[${index}].tool_call_id is missing`);
  }
  return {
    role,
    content: readContent(message['content']),
    toolCalls: calls.map((call) => parseCall(call, index)),
    toolCallId: typeof toolCallId === 'string' ? toolCallId : undefined,
  };
}

function parseCall(value: unknown, index: number): ModelToolCall {
  const call = toRecord(value, `messages[${index}].tool_calls`);
  const target = toRecord(call['function'], `messages[${index}].tool_calls[].function`);
  if (typeof call['id'] !== 'string' || typeof target['name'] !== 'string' || typeof target['arguments'] !== 'string') {
    throw new BadModelRequest(`messages[${index}].tool_calls needs id, function.name and function.arguments as text`);
  }
  return { id: call['id'], name: target['name'], argumentsJson: target['arguments'] };
}

function parseToolName(value: unknown): string {
  const tool = toRecord(value, 'tools[]');
  const name = toRecord(tool['function'], 'tools[].function')['name'];
  if (typeof name !== 'string' || !/^[\w-]{1,64}$/.test(name)) {
    throw new BadModelRequest('tools[].function.name must match ^[a-zA-Z0-9_-]{1,64}$');
  }
  return name;
}

/** Every tool call has exactly one answer, right behind it, and nothing answers a call that was not made. */
function assertPaired(messages: readonly ModelMessage[]): void {
  let open = new Set<string>();
  messages.forEach((message, index) => {
    if (message.role === 'tool') {
      if (!open.delete(message.toolCallId ?? '')) {
        throw new BadModelRequest(
          `messages[${index}]: a tool message must answer a tool call of the message before it`,
        );
      }
      return;
    }
    if (open.size > 0) throw new BadModelRequest(`messages[${index}]: tool calls before it have no answer`);
    open = new Set(message.toolCalls.map((call) => call.id));
    if (open.size !== message.toolCalls.length) throw new BadModelRequest(`messages[${index}]: tool call ids repeat`);
  });
  if (open.size > 0) throw new BadModelRequest('the last tool calls have no answer');
}

function readContent(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content
    .map((part: unknown) => (isRecord(part) && typeof part['text'] === 'string' ? part['text'] : ''))
    .join('\n');
}

function toRecord(value: unknown, name: string): Record<string, unknown> {
  if (!isRecord(value)) throw new BadModelRequest(`${name} must be an object`);
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
