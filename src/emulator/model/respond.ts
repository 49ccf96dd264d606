/** Writes a decision in the shapes of the chat completions API: one JSON object, or server-sent events. */
import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { ModelRequest } from './conversation.js';
import type { Decision } from './decide.js';

export interface AnswerHead {
  readonly id: string;
  /** Seconds since the epoch. */
  readonly created: number;
  readonly request: ModelRequest;
  readonly requestBytes: number;
}

/** Characters of text in one event; small, so that clients see several. */
const PIECE_CHARACTERS = 24;
/** Rough size of a token, for usage figures that are deterministic. */
const BYTES_PER_TOKEN = 4;

export function toCompletion(head: AnswerHead, decision: Decision): object {
  return {
    id: head.id,
    object: 'chat.completion',
    created: head.created,
    model: head.request.model,
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: decision.text === '' ? null : decision.text,
          refusal: decision.refusal ?? null,
          ...(decision.calls.length === 0 ? {} : { tool_calls: decision.calls.map((call) => toWireCall(call)) }),
        },
        finish_reason: decision.finish,
      },
    ],
    usage: toUsage(head, decision),
  };
}

/** Sends the whole answer as events, at its pace while somebody listens; a `reset` breaks the connection in the middle of the text. */
export async function streamCompletion(response: ServerResponse, head: AnswerHead, decision: Decision): Promise<void> {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    connection: 'keep-alive',
  });
  const chunk = (delta: object, finish: string | null): void => {
    response.write(
      `data: ${JSON.stringify({ ...toChunkHead(head), choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`,
    );
  };
  chunk({ role: 'assistant', content: '' }, null);
  const pieces = toPieces(decision.text);
  if (decision.kind === 'reset') {
    chunk({ content: pieces[0] ?? '' }, null);
    // Let what was written leave before the connection breaks: the client must have seen a beginning.
    setTimeout(() => response.socket?.resetAndDestroy(), decision.paceMs);
    return;
  }
  for (const piece of pieces) {
    if (decision.paceMs > 0) await delay(decision.paceMs);
    if (response.destroyed) return;
    chunk({ content: piece }, null);
  }
  if (decision.refusal !== undefined) chunk({ refusal: decision.refusal }, null);
  decision.calls.forEach((call, index) => {
    const half = Math.ceil(call.argumentsJson.length / 2);
    chunk({ tool_calls: [{ ...toWireCall({ ...call, argumentsJson: '' }), index }] }, null);
    for (const part of [call.argumentsJson.slice(0, half), call.argumentsJson.slice(half)]) {
      if (part !== '') chunk({ tool_calls: [{ index, function: { arguments: part } }] }, null);
    }
  });
  chunk({}, decision.finish);
  if (head.request.includeUsage) {
    const usage = { ...toChunkHead(head), choices: [], usage: toUsage(head, decision) };
    response.write(`data: ${JSON.stringify(usage)}\n\n`);
  }
  response.end('data: [DONE]\n\n');
}

function toChunkHead(head: AnswerHead): object {
  return { id: head.id, object: 'chat.completion.chunk', created: head.created, model: head.request.model };
}

function toWireCall(call: Decision['calls'][number]): object {
  return { id: call.id, type: 'function', function: { name: call.name, arguments: call.argumentsJson } };
}

function toUsage(head: AnswerHead, decision: Decision): object {
  const answer = decision.text + (decision.refusal ?? '') + decision.calls.map((call) => call.argumentsJson).join('');
  const prompt = Math.ceil(head.requestBytes / BYTES_PER_TOKEN);
  const completion = Math.max(1, Math.ceil(Buffer.byteLength(answer) / BYTES_PER_TOKEN));
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
}

function toPieces(text: string): string[] {
  const characters = Array.from(text);
  const pieces: string[] = [];
  for (let at = 0; at < characters.length; at += PIECE_CHARACTERS) {
    pieces.push(characters.slice(at, at + PIECE_CHARACTERS).join(''));
  }
  return pieces;
}
