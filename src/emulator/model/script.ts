/**
 * Scripted conversations, from a file or set at run time:
 * `{ "delayMs": 0, "paceMs": 0, "conversations": [{ "match": "text" | { "regex": "…" }, "steps": [{ "delayMs", "paceMs", "text", "toolCalls":
 * [{ "name", "arguments": object | text }], "fault": { "kind" | "status", "times", "retryAfterMs", "body" } }] }] }`
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { defaultTimes, isPlainFaultKind, type ModelFault, type Plan } from './plan.js';

const delay = z.number().int().min(0).max(3_600_000);
const faultSchema = z.strictObject({
  kind: z
    .enum(['status', 'empty', 'refuse', 'filter', 'malformed', 'unknown-tool', 'length', 'reset', 'hang'])
    .optional(),
  status: z.number().int().min(400).max(599).optional(),
  times: z.number().int().min(1).optional(),
  retryAfterMs: delay.optional(),
  body: z.unknown().optional(),
});
const stepSchema = z.strictObject({
  delayMs: delay.optional(),
  paceMs: delay.optional(),
  text: z.string().default(''),
  toolCalls: z
    .array(z.strictObject({ name: z.string(), arguments: z.union([z.string(), z.record(z.string(), z.unknown())]) }))
    .default([]),
  fault: faultSchema.optional(),
});
const scriptSchema = z.strictObject({
  delayMs: delay.default(0),
  paceMs: delay.default(0),
  conversations: z
    .array(
      z.strictObject({
        match: z.union([z.string().min(1), z.strictObject({ regex: z.string().min(1) })]),
        steps: z.array(stepSchema).min(1),
      }),
    )
    .default([]),
});

export interface ModelScript {
  /** Delay of every call that names none itself. */
  readonly delayMs: number;
  /** Between two pieces of a streamed text that names no pace itself; 0: at once. */
  readonly paceMs: number;
  readonly conversations: readonly { readonly matches: (prompt: string) => boolean; readonly plan: Plan }[];
}

export const EMPTY_SCRIPT: ModelScript = { delayMs: 0, paceMs: 0, conversations: [] };

/** @throws Error that names every problem */
export function parseScript(value: unknown): ModelScript {
  const parsed = scriptSchema.safeParse(value);
  if (!parsed.success) throw new Error(`The model's script is not valid:\n${z.prettifyError(parsed.error)}`);
  return {
    delayMs: parsed.data.delayMs,
    paceMs: parsed.data.paceMs,
    conversations: parsed.data.conversations.map(({ match, steps }) => ({
      matches: toMatcher(match),
      plan: { delayMs: undefined, closingFaults: [], steps: steps.map(toStep) },
    })),
  };
}

/** @throws Error when the file cannot be read, is not JSON or not a script */
export function loadScript(file: string): ModelScript {
  return parseScript(JSON.parse(readFileSync(file, 'utf8')));
}

function toMatcher(match: string | { regex: string }): (prompt: string) => boolean {
  if (typeof match === 'string') return (prompt) => prompt.includes(match);
  const regex = new RegExp(match.regex, 'u');
  return (prompt) => regex.test(prompt);
}

function toStep(step: z.output<typeof stepSchema>): Plan['steps'][number] {
  return {
    delayMs: step.delayMs,
    paceMs: step.paceMs,
    faults: step.fault === undefined ? [] : [toFault(step.fault)],
    text: step.text,
    calls: step.toolCalls.map(({ name, arguments: args }) => {
      const argumentsJson = typeof args === 'string' ? args : JSON.stringify(args);
      const command = typeof args === 'string' ? undefined : args['command'];
      return { name, argumentsJson, title: typeof command === 'string' ? `$ ${command}` : `${name} ${argumentsJson}` };
    }),
  };
}

function toFault(fault: z.output<typeof faultSchema>): ModelFault {
  const { kind = 'status', status = 503, times } = fault;
  if (isPlainFaultKind(kind)) return { kind, times: times ?? defaultTimes(kind) };
  return {
    kind: 'status',
    status,
    times: times ?? 1,
    retryAfterMs: fault.retryAfterMs,
    ...(fault.body === undefined ? {} : { body: fault.body }),
  };
}
