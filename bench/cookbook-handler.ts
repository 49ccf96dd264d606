/**
 * The baseline: a chat handler as the cloud's own cookbook would have it, in our words and code. One machine for each user; each
 * message retrieves the machine, wakes it where it sleeps, keeps its terminal open from message to message, and loops between
 * model and shell until the model has no more commands. No workflow engine, no database, no fixed waits: what it knows is in
 * this process's memory and gone with it, a command that was cut off is forgotten, and two messages at once would mix.
 *
 * Whatever Innkeeper adds in time, it adds on top of this.
 */
import { randomUUID } from 'node:crypto';
import { CookbookTerminal } from './cookbook-terminal.js';

export interface CookbookOptions {
  /** Root of the machines API, without `/v1`. */
  readonly machinesUrl: string;
  /** Root of the model's API, with `/v1`. */
  readonly modelUrl: string;
  readonly apiKey: string;
  readonly model: string;
}

/** A user, as far as this handler knows one. */
export interface CookbookSession {
  readonly machineId: string;
  readonly messages: ChatMessage[];
  terminal: CookbookTerminal | undefined;
}

interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string | null;
  readonly tool_calls?: readonly ToolCall[];
  readonly tool_call_id?: string;
}
interface ToolCall {
  readonly id: string;
  readonly function: { readonly name: string; readonly arguments: string };
}
interface Machine {
  readonly machine_id: string;
  readonly status: { readonly phase: string; readonly revision: string };
}

const STEPS_MAX = 50;
const SIZE = { vcpu: 1, memory_mib: 2_048, storage_gib: 10 };
const SYSTEM_PROMPT = 'You work on a Linux machine of your own. Use the tool "bash" to run commands on it.';
const BASH_TOOL = {
  type: 'function',
  function: {
    name: 'bash',
    description: 'Runs a command in the shell of the machine.',
    parameters: { type: 'object', properties: { command: { type: 'string' } }, required: ['command'] },
  },
};

export class CookbookHandler {
  constructor(private readonly options: CookbookOptions) {}

  /** A new user: creates the machine and waits until it runs. */
  async createSession(): Promise<CookbookSession> {
    const { machine_id: machineId } = await this.#machines<Machine>('POST', '', { body: SIZE });
    await this.#untilRunning(machineId);
    return { machineId, messages: [{ role: 'system', content: SYSTEM_PROMPT }], terminal: undefined };
  }

  /** Answers one message. */
  async handle(session: CookbookSession, message: string): Promise<string> {
    await this.#ensureAwake(session.machineId);
    const terminal = await this.#ensureTerminal(session);
    session.messages.push({ role: 'user', content: message });
    for (let step = 0; step < STEPS_MAX; step += 1) {
      const answer = await this.#ask(session.messages);
      session.messages.push(answer);
      if (answer.tool_calls === undefined) return answer.content ?? '';
      for (const call of answer.tool_calls) {
        const { command } = JSON.parse(call.function.arguments) as { command: string };
        const { output, exitCode } = await terminal.run(command);
        session.messages.push({ role: 'tool', tool_call_id: call.id, content: `${output}\nexit code ${exitCode}` });
      }
    }
    throw new Error(`no answer after ${STEPS_MAX} steps`);
  }

  /** Puts the machine to sleep; the next message wakes it. The cookbook leaves this to the provider's autosleep. */
  async sleep(session: CookbookSession): Promise<void> {
    const { status } = await this.#machines<Machine>('GET', `/${session.machineId}`);
    await this.#machines('POST', `/${session.machineId}/sleep`, { ifMatch: status.revision });
  }

  async #ensureAwake(machineId: string): Promise<void> {
    const { status } = await this.#machines<Machine>('GET', `/${machineId}`);
    if (status.phase === 'running') return;
    await this.#machines('POST', `/${machineId}/wake`, { ifMatch: status.revision });
    await this.#untilRunning(machineId);
  }

  /** Follows the machine's status stream to `running`. */
  async #untilRunning(machineId: string): Promise<void> {
    const response = await fetch(`${this.options.machinesUrl}/v1/machines/${machineId}/status/stream`, {
      headers: this.#headers(),
    });
    if (!response.ok || response.body === null) throw new Error(`status stream: ${response.status}`);
    let text = '';
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (/"phase":"running"/.test(text)) return;
    }
    throw new Error('the status stream ended before the machine ran');
  }

  async #ensureTerminal(session: CookbookSession): Promise<CookbookTerminal> {
    if (session.terminal?.isOpen !== true) {
      const body = { width: 100, height: 30 };
      const opened = await this.#machines<{ stream_url: string }>('POST', `/${session.machineId}/terminals`, { body });
      session.terminal = await CookbookTerminal.open(opened.stream_url);
    }
    return session.terminal;
  }

  async #ask(messages: readonly ChatMessage[]): Promise<ChatMessage> {
    const { modelUrl, model } = this.options;
    const response = await fetch(`${modelUrl}/chat/completions`, {
      method: 'POST',
      headers: this.#headers({ 'content-type': 'application/json' }),
      body: JSON.stringify({ model, messages, tools: [BASH_TOOL] }),
    });
    if (!response.ok) throw new Error(`model: ${response.status} ${await response.text()}`);
    const { choices } = (await response.json()) as { choices: [{ message: ChatMessage }] };
    return choices[0].message;
  }

  async #machines<T = unknown>(
    method: 'GET' | 'POST',
    path: string,
    { body, ifMatch }: { body?: object; ifMatch?: string } = {},
  ): Promise<T> {
    const response = await fetch(`${this.options.machinesUrl}/v1/machines${path}`, {
      method,
      headers: this.#headers({
        ...(method === 'GET' ? {} : { 'idempotency-key': randomUUID() }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      }),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} machines${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  #headers(more: Record<string, string> = {}): Record<string, string> {
    return { authorization: `Bearer ${this.options.apiKey}`, ...more };
  }
}
