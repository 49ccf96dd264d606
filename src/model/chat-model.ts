/** The port to the model: one chat completion, streamed. The adapter is dedalus-chat.ts; the context is built by context.ts. */

export type ChatMessage =
  | { readonly role: 'system' | 'user'; readonly content: string }
  | { readonly role: 'assistant'; readonly content: string; readonly toolCalls: readonly ChatToolCall[] }
  | { readonly role: 'tool'; readonly toolCallId: string; readonly content: string };

export interface ChatToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text exactly as the model wrote it; may be malformed. */
  readonly argumentsJson: string;
}

export interface ChatTool {
  readonly name: string;
  readonly description: string;
  /** JSON Schema of the arguments. */
  readonly parameters: Readonly<Record<string, unknown>>;
}

export interface ChatRequest {
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly ChatTool[];
  readonly signal: AbortSignal;
  /** The answer's pieces as they come, in order. */
  readonly onDelta?: (delta: ChatDelta) => void;
}

/** A piece of an answer that is being made. */
export type ChatDelta =
  | { readonly kind: 'text'; readonly text: string }
  /** Of the arguments of call `index`; `name` as far as it is known by now. */
  | { readonly kind: 'call'; readonly index: number; readonly name: string; readonly argumentsJson: string };

export interface TokenUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

export interface ChatAnswer {
  readonly content: string;
  readonly toolCalls: readonly ChatToolCall[];
  /**
   * `stop` and `tool_calls` are ordinary (with calls it is always `tool_calls`); `length`: cut short by the service or by our
   * bound; `refused`: a refusal, its words in `content`, or a content filter. The last two come without calls: a cut call may
   * still parse. An empty `content` with `stop` is an empty answer.
   */
  readonly finish: 'stop' | 'tool_calls' | 'length' | 'refused';
  readonly usage: TokenUsage | undefined;
  /** Model name as the service answered it. */
  readonly model: string;
}

export interface ChatModel {
  /**
   * @throws InnkeeperError MODEL_UNAVAILABLE, MODEL_RATE_LIMITED (with retryAfterMs where given), MODEL_UNAUTHORIZED, MODEL_REJECTED;
   *   the signal's reason when aborted
   */
  complete(request: ChatRequest): Promise<ChatAnswer>;
}
