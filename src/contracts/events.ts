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
    };

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
