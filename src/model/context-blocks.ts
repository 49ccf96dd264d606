/** Turns transcript entries into messages that every service accepts, grouped in blocks that may only be left out as a whole. */
import type { ChatMessage, ChatToolCall } from './chat-model.js';
import { shortenMiddle } from './shorten.js';

/** One entry of the transcript, as the model is told of it. */
export type TranscriptEntry =
  | { readonly kind: 'user'; readonly text: string }
  | {
      readonly kind: 'assistant';
      readonly text: string;
      readonly toolCalls: readonly { readonly id: string; readonly name: string; readonly argumentsJson: string }[];
    }
  | { readonly kind: 'tool'; readonly toolCallId: string; readonly text: string }
  /** What the system tells the agent: the machine was replaced, what died, an empty answer. */
  | { readonly kind: 'note'; readonly text: string };

/** `step`: an assistant message with the answers to its calls. `said`: anything else. */
export interface Block {
  readonly kind: 'step' | 'said';
  readonly messages: readonly ChatMessage[];
}

const TOOL_NAME_CHARACTERS_MAX = 64;
const BROKEN_ARGUMENTS_BYTES_MAX = 2 * 1024;

/**
 * A note goes out as a user message in a mark of its own: system messages in mid conversation are refused or moved by many
 * services, and several user messages in a row are accepted by all.
 */
export function noteMessage(text: string): ChatMessage {
  return { role: 'user', content: `<system-note>\n${text}\n</system-note>` };
}

export function entriesToBlocks(entries: readonly TranscriptEntry[]): Block[] {
  const blocks: Block[] = [];
  for (let index = 0; index < entries.length; index += 1) {
    const entry = entries[index]!;
    if (entry.kind === 'user') blocks.push(said({ role: 'user', content: entry.text === '' ? '(empty)' : entry.text }));
    if (entry.kind === 'note') blocks.push(said(noteMessage(entry.text)));
    if (entry.kind !== 'assistant') continue; // Tool entries are looked up by the answer that called them.
    if (entry.toolCalls.length > 0) blocks.push(toStep(entry, answersAfter(entries, index)));
    else if (entry.text !== '') blocks.push(said({ role: 'assistant', content: entry.text, toolCalls: [] }));
  }
  return blocks;
}

function said(message: ChatMessage): Block {
  return { kind: 'said', messages: [message] };
}

/** Texts of the tool entries between an answer and the next one, by call id, in order. */
function answersAfter(entries: readonly TranscriptEntry[], index: number): Map<string, string[]> {
  const answers = new Map<string, string[]>();
  for (const entry of entries.slice(index + 1)) {
    if (entry.kind === 'assistant') break;
    if (entry.kind === 'tool') answers.set(entry.toolCallId, [...(answers.get(entry.toolCallId) ?? []), entry.text]);
  }
  return answers;
}

function toStep(entry: Extract<TranscriptEntry, { kind: 'assistant' }>, answers: Map<string, string[]>): Block {
  const seen = new Set<string>();
  const calls: ChatToolCall[] = [];
  const results: ChatMessage[] = [];
  for (const [position, call] of entry.toolCalls.entries()) {
    const id = uniqueId(call.id, position, seen);
    calls.push({ id, name: toName(call.name), argumentsJson: toArguments(call.argumentsJson) });
    const text = answers.get(call.id)?.shift() ?? '(no result was recorded for this call)';
    results.push({ role: 'tool', toolCallId: id, content: text === '' ? '(no output)' : text });
  }
  return { kind: 'step', messages: [{ role: 'assistant', content: entry.text, toolCalls: calls }, ...results] };
}

function uniqueId(id: string, position: number, seen: Set<string>): string {
  let unique = id === '' ? `call_${position}` : id;
  while (seen.has(unique)) unique += '_';
  seen.add(unique);
  return unique;
}

/** Services refuse names that no tool may have, even in the past. */
function toName(name: string): string {
  const clean = name.replace(/[^\w-]/g, '_').slice(0, TOOL_NAME_CHARACTERS_MAX);
  return clean === '' ? 'unknown' : clean;
}

/** Services that read arguments refuse what is not a JSON object, so a broken call is shown as one. */
function toArguments(json: string): string {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return json;
  } catch {
    // Falls through: the model is shown what it wrote.
  }
  return JSON.stringify({ malformed_arguments: shortenMiddle(json, BROKEN_ARGUMENTS_BYTES_MAX) });
}
