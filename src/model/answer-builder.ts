/** Joins the pieces of a streamed completion into one answer. Tolerant of what services leave out; bounded. */
import { MODEL_ANSWER_BYTES_MAX } from '../contracts/limits.js';
import type { ChatAnswer, ChatDelta, ChatToolCall, TokenUsage } from './chat-model.js';

/** Calls kept of one answer; far above what a step carries out, it only bounds memory. */
const TOOL_CALLS_PER_ANSWER_MAX = 256;
/** An id or a model's name that is longer is none. */
const NAME_CHARACTERS_MAX = 256;
/** Token counts are stored as 32-bit integers. */
const TOKENS_MAX = 2 ** 31 - 1;

interface CallParts {
  readonly index: number;
  id: string | undefined;
  name: string;
  argumentsJson: string;
}

export interface AnswerBuilder {
  /** Takes one chunk; returns what is new in it. */
  add(chunk: Record<string, unknown>): ChatDelta[];
  /** True once the answer is longer than allowed: read no further. */
  readonly isOverlong: boolean;
  /** True once the service said why it ended (or nothing more is wanted). */
  readonly isFinished: boolean;
  build(): ChatAnswer;
}

/** `idPrefix` makes ids for calls that came without one; the same request gets the same ids. */
export function createAnswerBuilder(options: { idPrefix: string; model: string }): AnswerBuilder {
  let content = '';
  let refusal = '';
  let bytes = 0;
  let finishReason: string | undefined;
  let usage: TokenUsage | undefined;
  let model = options.model;
  const calls = new Map<string | number, CallParts>();
  let lastKey: string | number | undefined;

  function count(text: string): string {
    bytes += Buffer.byteLength(text);
    return text;
  }

  /** Pieces of one call share an index; services without indexes name each new call by a new id. */
  function partsOf(piece: Record<string, unknown>): CallParts {
    const id = readName(piece['id']);
    const key = typeof piece['index'] === 'number' ? piece['index'] : (id ?? lastKey ?? 0);
    lastKey = key;
    const known = calls.get(key) ?? { index: calls.size, id: undefined, name: '', argumentsJson: '' };
    known.id ??= id;
    calls.set(key, known);
    return known;
  }

  function addCalls(pieces: unknown): ChatDelta[] {
    const deltas: ChatDelta[] = [];
    if (!Array.isArray(pieces)) return deltas;
    for (const piece of pieces) {
      if (!isRecord(piece)) continue;
      if (isOverlong()) break;
      const parts = partsOf(piece);
      const target = isRecord(piece['function']) ? piece['function'] : {};
      const { name, arguments: args } = target;
      // Some services repeat the whole name with every piece; none sends it in pieces that repeat.
      if (typeof name === 'string' && name !== parts.name) parts.name += count(name);
      const { index, argumentsJson: before } = parts;
      if (typeof args === 'string') parts.argumentsJson += count(args);
      else if (isRecord(args)) parts.argumentsJson = count(JSON.stringify(args));
      const argumentsJson = parts.argumentsJson.slice(before.length);
      if (argumentsJson !== '') deltas.push({ kind: 'call', index, name: parts.name, argumentsJson });
    }
    return deltas;
  }

  function toCalls(): ChatToolCall[] {
    const seen = new Set<string>();
    return [...calls.values()]
      .filter((parts) => parts.name !== '' || parts.argumentsJson !== '')
      .map((parts, index) => {
        const id = parts.id !== undefined && !seen.has(parts.id) ? parts.id : `${options.idPrefix}_${index}`;
        seen.add(id);
        return { id, name: parts.name, argumentsJson: parts.argumentsJson };
      });
  }

  const isOverlong = (): boolean => bytes > MODEL_ANSWER_BYTES_MAX || calls.size > TOOL_CALLS_PER_ANSWER_MAX;

  return {
    add(chunk) {
      model = readName(chunk['model']) ?? model;
      usage = readUsage(chunk['usage']) ?? usage;
      const choices: unknown = chunk['choices'];
      const choice: unknown = Array.isArray(choices) ? choices[0] : undefined;
      if (!isRecord(choice)) return [];
      const delta = choice['delta'] ?? choice['message'];
      const deltas: ChatDelta[] = [];
      if (isRecord(delta)) {
        const text = typeof delta['content'] === 'string' ? count(delta['content']) : '';
        content += text;
        if (text !== '') deltas.push({ kind: 'text', text });
        if (typeof delta['refusal'] === 'string') refusal += count(delta['refusal']);
        deltas.push(...addCalls(delta['tool_calls']));
      }
      const ended = choice['finish_reason'];
      // Some routers end a broken answer with the reason `error`: then it has no end.
      if (typeof ended === 'string' && ended !== '' && ended !== 'error') finishReason = ended;
      return deltas;
    },
    get isOverlong() {
      return isOverlong();
    },
    get isFinished() {
      return finishReason !== undefined || isOverlong();
    },
    build() {
      const base = { usage, model };
      if (refusal !== '' || finishReason === 'content_filter') {
        return { ...base, content: content === '' ? refusal : content, toolCalls: [], finish: 'refused' };
      }
      if (finishReason === 'length' || isOverlong()) {
        // A call that was cut may still parse and would then do something else than the model meant: none is passed on.
        return { ...base, content: cut(content), toolCalls: [], finish: 'length' };
      }
      const toolCalls = toCalls();
      return { ...base, content, toolCalls, finish: toolCalls.length > 0 ? 'tool_calls' : 'stop' };
    },
  };
}

function cut(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= MODEL_ANSWER_BYTES_MAX) return text;
  return new TextDecoder().decode(bytes.subarray(0, MODEL_ANSWER_BYTES_MAX), { stream: true });
}

function readUsage(value: unknown): TokenUsage | undefined {
  if (!isRecord(value)) return undefined;
  const input = value['prompt_tokens'] ?? value['input_tokens'];
  const output = value['completion_tokens'] ?? value['output_tokens'];
  return isTokens(input) && isTokens(output) ? { inputTokens: input, outputTokens: output } : undefined;
}

function isTokens(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= TOKENS_MAX;
}

function readName(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && value.length <= NAME_CHARACTERS_MAX ? value : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
