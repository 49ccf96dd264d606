/**
 * The built-in model's mind: what to answer to these messages. A pure function of the messages and the script, but for the
 * counter of faults already dealt out, which the caller hands in.
 */
import { createHash } from 'node:crypto';
import { findPrompt, type ModelMessage, type ModelRequest, type ModelToolCall } from './conversation.js';
import { planPrompt, type ModelFault, type Plan, type PlannedStep } from './plan.js';
import type { ModelScript } from './script.js';

export interface Decision {
  readonly kind: 'answer' | ModelFault['kind'];
  readonly delayMs: number;
  /** Between two pieces of the text; 0: at once. */
  readonly paceMs: number;
  readonly text: string;
  readonly refusal: string | undefined;
  readonly calls: readonly ModelToolCall[];
  readonly finish: 'stop' | 'tool_calls' | 'length' | 'content_filter';
  /** For kind `status`. */
  readonly fault: ModelFault | undefined;
}

/** Counts the faults dealt out, per conversation, so that "twice, then go on" can be told. */
export interface FaultCounter {
  /** Counts one more and says how many there were before. */
  take(conversation: string, fault: string): number;
  /** The conversation reached its end. */
  clear(conversation: string): void;
}

/** Output of one command that the closing answer quotes, from its beginning and from its end. */
const QUOTE_CHARACTERS_MAX = 4_000;

export function decide(request: ModelRequest, script: ModelScript, counter: FaultCounter): Decision {
  const { messages, toolNames } = request;
  const prompt = findPrompt(messages);
  const bashTool = toolNames.includes('bash') ? 'bash' : undefined;
  const scripted = script.conversations.find((conversation) => conversation.matches(prompt.text));
  const plan = scripted?.plan ?? planPrompt(prompt.text, bashTool ?? 'bash');
  const mark = hash(prompt.text).slice(0, 8);
  const conversation = hash(
    JSON.stringify(messages.slice(0, prompt.index + 1).filter((message) => message.role !== 'system')),
  );
  const after = messages.slice(prompt.index + 1);
  const index = stepsDone(after, mark);
  const step = plan.steps[index];
  const times = {
    delayMs: step?.delayMs ?? plan.delayMs ?? script.delayMs,
    paceMs: step?.paceMs ?? plan.paceMs ?? script.paceMs,
  };

  const fault = nextFault(step?.faults ?? plan.closingFaults, (position, times) => {
    if (times === Infinity) return true;
    return counter.take(conversation, `${index}/${position}`) < times;
  });
  if (fault !== undefined)
    return faultDecision(fault, { times, mark, nth: after.length, bashTool: bashTool ?? 'bash' });

  const canCall = scripted !== undefined || bashTool !== undefined;
  if (step !== undefined && step.calls.length > 0 && canCall) {
    return { ...plain(step.text, times), calls: toCalls(step, mark, index), finish: 'tool_calls' };
  }
  counter.clear(conversation);
  if (scripted !== undefined) return plain(step?.text ?? '(the script of this conversation ends here)', times);
  if (plan.steps.length === 0) return plain(helpText(toolNames), times);
  if (!canCall)
    return plain('There are commands in your message, but no tool "bash" was offered to run them with.', times);
  return plain(report(plan, after, mark), times);
}

export function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

type Times = Pick<Decision, 'delayMs' | 'paceMs'>;

function plain(text: string, times: Times): Decision {
  return { kind: 'answer', ...times, text, refusal: undefined, calls: [], finish: 'stop', fault: undefined };
}

function nextFault(
  faults: readonly ModelFault[],
  isDue: (position: number, times: number) => boolean,
): ModelFault | undefined {
  return faults.find((fault, position) => isDue(position, fault.times));
}

/** Steps of this prompt already made: the numbers are in the ids of the calls, so dropped messages do not confuse it. */
function stepsDone(after: readonly ModelMessage[], mark: string): number {
  const numbers = after
    .flatMap((message) => message.toolCalls)
    .map((call) => new RegExp(`^call_${mark}_(\\d+)_\\d+$`).exec(call.id)?.[1])
    .filter((number) => number !== undefined);
  return Math.max(0, ...numbers.map((number) => Number(number) + 1));
}

function toCalls(step: PlannedStep, mark: string, index: number): ModelToolCall[] {
  return step.calls.map((call, position) => ({
    id: `call_${mark}_${index}_${position}`,
    name: call.name,
    argumentsJson: call.argumentsJson,
  }));
}

function faultDecision(
  fault: ModelFault,
  context: { times: Times; mark: string; nth: number; bashTool: string },
): Decision {
  const base: Decision = { ...plain('', context.times), kind: fault.kind, fault };
  const call = (name: string, argumentsJson: string): Decision => ({
    ...base,
    calls: [{ id: `call_fault_${context.mark}_${context.nth}`, name, argumentsJson }],
    finish: 'tool_calls',
  });
  switch (fault.kind) {
    case 'refuse':
      return { ...base, refusal: 'I cannot help with that.' };
    case 'filter':
      return { ...base, finish: 'content_filter' };
    case 'malformed':
      return call(context.bashTool, '{"command": "echo cut o');
    case 'unknown-tool':
      return call('no_such_tool', '{"question":"why"}');
    case 'length':
      return { ...base, text: 'This answer stops in the middle of a', finish: 'length' };
    case 'reset':
      return { ...base, text: 'This answer is cut off by a broken connection, long before its end.' };
    case 'empty':
    case 'hang':
    case 'status':
      return base;
  }
}

function report(plan: Plan, after: readonly ModelMessage[], mark: string): string {
  const outputs = new Map(after.map((message) => [message.toolCallId, message.content]));
  const parts = plan.steps.flatMap((step, index) =>
    step.calls.map((call, position) => {
      const output =
        outputs.get(`call_${mark}_${index}_${position}`) ?? '(its output is no longer in the conversation)';
      return `${call.title}\n${quote(output)}`;
    }),
  );
  return `I ran ${parts.length === 1 ? 'one command' : `${parts.length} commands`}:\n\n${parts.join('\n\n')}`;
}

function quote(text: string): string {
  const trimmed = text.trimEnd();
  if (trimmed.length <= 2 * QUOTE_CHARACTERS_MAX) return trimmed;
  const left = trimmed.length - 2 * QUOTE_CHARACTERS_MAX;
  return `${trimmed.slice(0, QUOTE_CHARACTERS_MAX)}\n… ${left} characters left out …\n${trimmed.slice(-QUOTE_CHARACTERS_MAX)}`;
}

function helpText(toolNames: readonly string[]): string {
  const offered =
    toolNames.length === 0 ? 'No tools were offered to me.' : `Tools offered to me: ${toolNames.join(', ')}.`;
  return [
    'I am the built-in model of the local emulator: no language model, but I can use the machine.',
    'Begin a line with "$ " and I run it there as a command, for example:',
    '',
    '$ uname -a',
    '$ echo hello >> notes.txt && cat notes.txt',
    '',
    `Each line is one step; lines that begin with "$+ " are run in one step together. ${offered}`,
    'To talk with a real model, set MODEL_BASE_URL, MODEL_NAME and MODEL_API_KEY.',
  ].join('\n');
}
