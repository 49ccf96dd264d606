/** What the built-in model is going to do for one prompt: a list of steps, one per model call. Pure. */

/** Something that goes wrong instead of a step's answer, `times` times; then the step is answered. */
export type ModelFault = {
  readonly times: number;
} & (
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly retryAfterMs: number | undefined;
      readonly body?: unknown;
    }
  | { readonly kind: 'empty' | 'refuse' | 'filter' | 'malformed' | 'unknown-tool' | 'length' | 'reset' | 'hang' }
);

export type ModelFaultKind = ModelFault['kind'];

interface PlannedCall {
  readonly name: string;
  /** Arguments as they are sent, usually JSON text. */
  readonly argumentsJson: string;
  /** For quoting it in the closing answer. */
  readonly title: string;
}

export interface PlannedStep {
  readonly delayMs: number | undefined;
  readonly paceMs?: number | undefined;
  readonly faults: readonly ModelFault[];
  readonly text: string;
  /** Without calls the step ends the turn. */
  readonly calls: readonly PlannedCall[];
}

export interface Plan {
  readonly delayMs: number | undefined;
  /** Between two pieces of a streamed text. */
  readonly paceMs?: number | undefined;
  readonly steps: readonly PlannedStep[];
  /** Faults of the closing answer, which quotes what the steps did. */
  readonly closingFaults: readonly ModelFault[];
}

/** Kinds that end a turn are repeated for ever unless a number is given; the others happen once. */
const timesByKind: Readonly<Record<Exclude<ModelFaultKind, 'status'>, number>> = {
  empty: 1,
  refuse: Infinity,
  filter: Infinity,
  malformed: 1,
  'unknown-tool': 1,
  length: 1,
  reset: 1,
  hang: 1,
};

export function isPlainFaultKind(kind: string): kind is Exclude<ModelFaultKind, 'status'> {
  return Object.hasOwn(timesByKind, kind);
}

export function defaultTimes(kind: Exclude<ModelFaultKind, 'status'>): number {
  return timesByKind[kind];
}

/**
 * Reads a prompt's lines: `$ command` is a step of its own, `$+ command` joins the `$+` line right before it in one step,
 * `!model …` is a fault of the next step (or a delay of every call, or the pace of every text).
 */
export function planPrompt(prompt: string, bashTool: string): Plan {
  const steps: { faults: ModelFault[]; calls: PlannedCall[] }[] = [];
  let faults: ModelFault[] = [];
  let delayMs: number | undefined;
  let paceMs: number | undefined;
  let isJoining = false;
  for (const line of prompt.split(/\r?\n/)) {
    const command = /^\$(\+?) (.*)$/.exec(line);
    const directive = /^!model (.+)$/.exec(line);
    if (directive?.[1] !== undefined) {
      const read = readDirective(directive[1].trim().split(/\s+/));
      if (read?.delayMs !== undefined) delayMs = read.delayMs;
      if (read?.paceMs !== undefined) paceMs = read.paceMs;
      if (read?.fault !== undefined) faults.push(read.fault);
    }
    if (command?.[2] !== undefined && command[2].trim() !== '') {
      const call = { name: bashTool, argumentsJson: JSON.stringify({ command: command[2] }), title: `$ ${command[2]}` };
      const last = steps.at(-1);
      if (command[1] === '+' && isJoining && last !== undefined && faults.length === 0) last.calls.push(call);
      else {
        steps.push({ faults, calls: [call] });
        faults = [];
      }
    }
    isJoining = command?.[1] === '+';
  }
  return {
    delayMs,
    paceMs,
    steps: steps.map((step) => ({ ...step, text: '', delayMs: undefined })),
    closingFaults: faults,
  };
}

/** `429 2 250`: status, times, retry_after_ms; `empty 2`: kind, times; `delay 1000`; `pace 50`. Anything else is no directive. */
function readDirective(
  words: readonly string[],
): { fault?: ModelFault; delayMs?: number; paceMs?: number } | undefined {
  const [verb = '', first, second] = words;
  const number = (word: string | undefined): number | undefined =>
    word !== undefined && /^\d{1,9}$/.test(word) ? Number(word) : undefined;
  if (verb === 'pace') return { paceMs: number(first) ?? 0 };
  if (verb === 'delay') return { delayMs: number(first) ?? 0 };
  if (/^[45]\d\d$/.test(verb)) {
    return { fault: { kind: 'status', status: Number(verb), times: number(first) ?? 1, retryAfterMs: number(second) } };
  }
  if (isPlainFaultKind(verb)) return { fault: { kind: verb, times: number(first) ?? timesByKind[verb] } };
  return undefined;
}
