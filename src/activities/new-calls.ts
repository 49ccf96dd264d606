/**
 * Model's tool calls -> what is stored of them (pure). A call that cannot be run is stored with the reason as its outcome: the model
 * reads it in the next step.
 */
import { TOOL_CALLS_KEPT_MAX, TOOL_CALLS_PER_STEP_MAX } from '../contracts/limits.js';
import { checkToolCall, sizeProblemOf } from '../contracts/tools.js';
import type { ChatToolCall } from '../model/chat-model.js';
import type { NewCall } from '../store/steps.js';

/** A tool's name travels through Temporal's history, and services refuse odd ones even in the past. */
const TOOL_NAME_CHARACTERS_MAX = 64;

export function toNewCalls(calls: readonly ChatToolCall[]): NewCall[] {
  return calls.slice(0, TOOL_CALLS_KEPT_MAX).map(toNewCall);
}

function toNewCall({ id: callId, name, argumentsJson }: ChatToolCall, index: number): NewCall {
  const tool = toToolName(name);
  const sizeProblem = sizeProblemOf(argumentsJson);
  if (sizeProblem !== undefined) return refused({ callId, tool, argumentsJson: '{}' }, sizeProblem);
  if (index >= TOOL_CALLS_PER_STEP_MAX) {
    const problem = `Only ${TOOL_CALLS_PER_STEP_MAX} tool calls are taken at once: ask again.`;
    return refused({ callId, tool, argumentsJson }, problem);
  }
  const checked = checkToolCall(name, argumentsJson);
  if (!checked.ok) return refused({ callId, tool, argumentsJson }, checked.problem);
  return { callId, tool, argumentsJson, title: checked.title };
}

function refused(call: Pick<NewCall, 'callId' | 'tool' | 'argumentsJson'>, problem: string): NewCall {
  return { ...call, title: call.tool, invalid: { reason: 'invalid_call', shown: `This call was not run. ${problem}` } };
}

function toToolName(name: string): string {
  return name.replace(/[^\w-]/g, '_').slice(0, TOOL_NAME_CHARACTERS_MAX) || 'unknown';
}
