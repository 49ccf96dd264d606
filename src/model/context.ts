/**
 * What the model is sent: the system prompt and as much of the conversation as fits, within a byte limit. Pure.
 *
 * In order, until it fits: long tool output is shortened to its head and tail; the oldest whole turns are left out; in the
 * current turn, which always stays, tool output is shortened harder (oldest first), then long arguments and words of the model,
 * then its oldest steps are left out. Whatever is left out is said in a note. Every tool call has exactly one tool message, right
 * behind it, whatever the transcript holds: services reject anything else.
 */
import { MODEL_OUTPUT_BYTES_MAX } from '../contracts/limits.js';
import type { ChatMessage } from './chat-model.js';
import { entriesToBlocks, noteMessage, type Block, type TranscriptEntry } from './context-blocks.js';
import { shortenMiddle } from './shorten.js';

export type { TranscriptEntry };

export interface ContextTurn {
  readonly turnId: string;
  readonly entries: readonly TranscriptEntry[];
}

export interface ContextRequest {
  readonly systemPrompt: string;
  /** Oldest first; the last one is the current turn. */
  readonly turns: readonly ContextTurn[];
  /** There are turns before these, which is said as of those left out here. */
  readonly omitsEarlier?: boolean;
  readonly bytesMax: number;
}

/** Bytes counted for a message besides its text: role, names of keys, quotes. */
const MESSAGE_OVERHEAD_BYTES = 48;
/** What one output, or one other text, is shortened to in the current turn, step by step. */
const SHORTENING_BYTES = [8 * 1024, 2 * 1024, 512, 128];

/**
 * Builds the messages. They are within `bytesMax` (as `contextBytes` counts) whenever the system prompt, the current turn's
 * prompt and notes and its last step, shortened, leave room for it; neither of the first two is ever shortened.
 */
export function buildContext(request: ContextRequest): ChatMessage[] {
  const system: ChatMessage = { role: 'system', content: request.systemPrompt };
  const turns = request.turns.map((turn) =>
    entriesToBlocks(turn.entries).map((block) => shortenOutputs(block, MODEL_OUTPUT_BYTES_MAX)),
  );
  const current = turns.at(-1) ?? [];
  const earlier = turns.slice(0, -1);

  const isFirstKnown = request.omitsEarlier !== true;
  const noteOf = (droppedTurns: number): ChatMessage =>
    noteMessage(droppedTurnsText(isFirstKnown ? droppedTurns : undefined));
  const build = (kept: readonly Block[][], droppedTurns: number, blocks: readonly Block[]): ChatMessage[] => [
    system,
    ...(droppedTurns === 0 && isFirstKnown ? [] : [noteOf(droppedTurns)]),
    ...kept.flat().flatMap((block) => block.messages),
    ...blocks.flatMap((block) => block.messages),
  ];

  const bytesOfTurns = earlier.map((turn) => contextBytes(turn.flatMap((block) => block.messages)));
  let used = contextBytes(build([], 0, current));
  let first = earlier.length;
  const noteBytes = isFirstKnown ? contextBytes([noteOf(earlier.length)]) : 0;
  while (first > 0 && used + bytesOfTurns[first - 1]! + (first > 1 ? noteBytes : 0) <= request.bytesMax) {
    first -= 1;
    used += bytesOfTurns[first]!;
  }
  const messages = build(earlier.slice(first), first, current);
  if (contextBytes(messages) <= request.bytesMax) return messages;
  return build([], earlier.length, fitTurn(current, request.bytesMax - contextBytes(build([], earlier.length, []))));
}

/** Bytes of messages as the limit counts them: UTF-8 of all text, and a little for each message and call. */
export function contextBytes(messages: readonly ChatMessage[]): number {
  return messages.reduce((sum, message) => {
    const calls = message.role === 'assistant' ? message.toolCalls : [];
    const callBytes = calls.reduce(
      (bytes, call) => bytes + MESSAGE_OVERHEAD_BYTES + Buffer.byteLength(call.id + call.name + call.argumentsJson),
      0,
    );
    const idBytes = message.role === 'tool' ? Buffer.byteLength(message.toolCallId) : 0;
    return sum + MESSAGE_OVERHEAD_BYTES + Buffer.byteLength(message.content) + callBytes + idBytes;
  }, 0);
}

/** Shortens the current turn, oldest first and ever harder; as the last resort leaves out its oldest steps. */
function fitTurn(turn: readonly Block[], bytesMax: number): Block[] {
  const blocks = [...turn];
  const sizes = blocks.map((block) => contextBytes(block.messages));
  let used = sizes.reduce((sum, size) => sum + size, 0);
  const replace = (index: number, block: Block): void => {
    const size = contextBytes(block.messages);
    used += size - sizes[index]!;
    sizes[index] = size;
    blocks[index] = block;
  };
  for (const shorten of [shortenOutputs, shortenWords]) {
    for (const limit of SHORTENING_BYTES) {
      for (let index = 0; index < blocks.length; index += 1) {
        if (used <= bytesMax) return blocks;
        replace(index, shorten(blocks[index]!, limit));
      }
    }
  }
  if (used <= bytesMax) return blocks;

  const steps = blocks.flatMap((block, index) => (block.kind === 'step' ? [index] : []));
  const dropped = new Set<number>();
  for (const index of steps.slice(0, -1)) {
    dropped.add(index);
    used -= sizes[index]!;
    if (used + contextBytes([noteMessage(droppedStepsText(dropped.size))]) <= bytesMax) break;
  }
  const [firstDropped] = dropped;
  if (firstDropped === undefined) return blocks;
  const note: Block = { kind: 'said', messages: [noteMessage(droppedStepsText(dropped.size))] };
  return blocks.flatMap((block, index) => (index === firstDropped ? [note] : dropped.has(index) ? [] : [block]));
}

function shortenOutputs(block: Block, bytesMax: number): Block {
  if (block.kind !== 'step') return block;
  return {
    ...block,
    messages: block.messages.map((message) =>
      message.role === 'tool' ? { ...message, content: shortenMiddle(message.content, bytesMax) } : message,
    ),
  };
}

/** The model's own words and arguments; what the person said stays as it is. */
function shortenWords(block: Block, bytesMax: number): Block {
  return {
    ...block,
    messages: block.messages.map((message) =>
      message.role !== 'assistant'
        ? message
        : {
            ...message,
            content: shortenMiddle(message.content, bytesMax),
            toolCalls: message.toolCalls.map((call) => ({
              ...call,
              argumentsJson: shortenArguments(call.argumentsJson, bytesMax),
            })),
          },
    ),
  };
}

/** Arguments have to stay a JSON object, so long ones are replaced as a whole. */
function shortenArguments(json: string, bytesMax: number): string {
  const bytes = Buffer.byteLength(json);
  return bytes <= bytesMax ? json : JSON.stringify({ left_out: `${bytes} bytes of arguments` });
}

/** `count` undefined: there are more than are known here. */
function droppedTurnsText(count: number | undefined): string {
  const turns =
    count === 1
      ? 'The oldest turn of this conversation is'
      : `The ${count === undefined ? '' : `${count} `}oldest turns of this conversation are`;
  return `${turns} left out here, for want of room. Files in the home directory are as they were left.`;
}

function droppedStepsText(count: number): string {
  return `${count === 1 ? 'One earlier step' : `${count} earlier steps`} of this turn left out here, for want of room.`;
}
