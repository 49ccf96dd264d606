/** The one vocabulary of the event log (`turn_events`): what anybody may watch. Every projection is made from these. */
import type { CallOutcome, TurnOutcome } from './activities.js';
import type { ErrorCode } from './errors.js';
import type { LanePhase } from './lane-state.js';

export type TurnEventBody =
  | { readonly type: 'turn.queued'; readonly position: number }
  | { readonly type: 'turn.started'; readonly position: number }
  /** Another run of the lane took the turn over. */
  | { readonly type: 'turn.resumed'; readonly step: number }
  /** The model's answer of one step; `text` may be empty where it only called tools. */
  | {
      readonly type: 'step.answered';
      readonly step: number;
      readonly text: string;
      readonly calls: readonly EventCall[];
    }
  | {
      readonly type: 'command.started';
      readonly step: number;
      readonly index: number;
      readonly cmdId: string;
      readonly tool: string;
    }
  | {
      readonly type: 'command.ended';
      readonly step: number;
      readonly index: number;
      readonly cmdId: string;
      readonly tool: string;
      readonly outcome: CallOutcome;
      readonly exitCode: number | null;
      readonly outputBytes: number;
      /** Output as shown to the model: control sequences removed, head and tail. */
      readonly output: string;
    }
  | { readonly type: 'turn.ended'; readonly outcome: TurnOutcome; readonly code: ErrorCode | null }
  | { readonly type: 'machine.phase'; readonly phase: LanePhase; readonly generation: number }
  | {
      readonly type: 'machine.replaced';
      readonly generation: number;
      readonly reason: string;
      /** What the user still has, and what is gone, in a few words each; absent in events of older releases. */
      readonly kept?: readonly string[];
      readonly lost?: readonly string[];
    }
  /** A person has taken the keyboard: the agent's next command waits. */
  | { readonly type: 'terminal.taken'; readonly holder: string }
  | {
      readonly type: 'terminal.handed_back';
      readonly reason: TerminalEnd;
      /** Where the shell is; null: not known. */
      readonly directory: string | null;
    };

/**
 * How a person's terminal ended: by their word, by the end of its shell, by a connection that did not come back, by nobody typing for
 * long, with the gateway's own end, or by itself, where whoever held it was gone.
 */
export type TerminalEnd = 'handed_back' | 'exited' | 'disconnected' | 'quiet' | 'closing' | 'expired';

/**
 * Live text of a part of a turn that is not complete: the model's answer of a step, or the output of one command. Gone once the
 * durable event of the part (`step.answered`, `command.ended`) has come, which holds the whole.
 */
export type TurnDeltaBody =
  /** What earlier tries at this part said is void. */
  | { readonly type: 'part.restarted' }
  | { readonly type: 'answer.delta'; readonly text: string }
  /** A piece of the arguments of the answer's tool call `index`, as JSON text. */
  | { readonly type: 'call.delta'; readonly index: number; readonly tool: string; readonly argumentsJson: string }
  /** Colours are its only control sequences. */
  | { readonly type: 'output.delta'; readonly text: string }
  /** Live text is left out here that nobody has any more; the durable event of the part will hold it. */
  | { readonly type: 'part.resync' };

/** Places of live text within a part: the number of the try that says it, and from 1 without gaps within the try. */
export interface DeltaPlace {
  readonly try: number;
  readonly n: number;
}

/** Where a follower of a user's events is: behind the event `seq`, and where that is not (0, 0) behind a delta of the part that came next. */
export interface EventPosition extends DeltaPlace {
  readonly seq: number;
}

export interface TurnDelta {
  readonly turnId: string;
  readonly step: number;
  /** Of the tool call whose output it is; null: the model's answer. */
  readonly index: number | null;
  readonly body: TurnDeltaBody;
}

const POSITION = /^(\d{1,15})(?::(\d{1,9}):(\d{1,9}))?$/;

/** `seq`, or `seq:try:n`: the id that an event stream gives each of its events. */
export function formatPosition({ seq, try: attempt, n }: EventPosition): string {
  return attempt === 0 ? String(seq) : `${seq}:${attempt}:${n}`;
}

/** undefined: no id of an event. */
export function parsePosition(text: string): EventPosition | undefined {
  const [, seq, attempt = '0', n = '0'] = POSITION.exec(text) ?? [];
  return seq === undefined ? undefined : { seq: Number(seq), try: Number(attempt), n: Number(n) };
}

/** What the replacement of a machine that is lost leaves of a user's things. */
export const REPLACEMENT = {
  kept: ['the conversation', 'the recorded output of commands'],
  lost: ['files', 'installed packages', 'running processes', 'the state of the shell'],
} as const;

/** A tool call as an event shows it. */
export interface EventCall {
  readonly index: number;
  readonly cmdId: string;
  readonly tool: string;
  /** The command's text, or the path of a file tool. */
  readonly title: string;
}

export interface TurnEvent {
  /** Per user, from 1, without gaps. */
  readonly seq: number;
  /** null for events of the machine. */
  readonly turnId: string | null;
  /** ISO 8601. */
  readonly at: string;
  readonly body: TurnEventBody;
}
