/** What the gateway answers, as far as the page reads it; src/gateway/views.ts has the whole. Instants are ISO 8601. */
import type { TurnDeltaBody, TurnEventBody } from '../../src/contracts/events.js';
import type { LanePhase } from '../../src/contracts/lane-state.js';

export type TurnState = 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';

export interface Page<T> {
  readonly items: readonly T[];
  /** Cursor of the next page; null: this is the last. */
  readonly next: string | null;
}

export interface Machine {
  readonly phase: LanePhase;
  readonly generation: number;
  readonly machineId: string | null;
  /** Tools that could not be installed. */
  readonly missing: readonly string[];
  /** The person at its terminal. */
  readonly terminal: { readonly holder: string; readonly takenAt: string; readonly until: string } | null;
}

export interface User {
  readonly userId: string;
  readonly state: 'active' | 'destroying' | 'destroyed';
  readonly machine: Machine;
  /** Open turns, the running one included. */
  readonly queueLength: number;
  readonly runningTurnId: string | null;
  readonly turnCount: number;
  readonly lastTurnAt: string | null;
  readonly lastErrorCode: string | null;
  readonly createdAt: string;
}

export interface UserDetails extends User {
  readonly machine: Machine & {
    readonly awakeFor: 'turn' | 'lease' | 'idle_time' | null;
    readonly sleepsAt: string | null;
  };
  /** null: the deployment has no prices. */
  readonly cost: number | null;
  readonly awakeSeconds: number;
  readonly laneUrl: string | null;
}

export interface FolderEntry {
  readonly name: string;
  /** To ask for it by; null: it cannot be asked for. */
  readonly path: string | null;
  readonly kind: 'file' | 'folder' | 'link' | 'other';
  readonly size: number;
  readonly modifiedAt: string;
}

export interface Folder extends Page<FolderEntry> {
  /** Entries of all pages. */
  readonly count: number;
}

export interface Turn {
  readonly turnId: string;
  readonly position: number;
  readonly state: TurnState;
  readonly prompt: string;
}

export interface Call {
  readonly index: number;
  readonly cmdId: string;
  readonly tool: string;
  readonly title: string;
  /** null: it has not ended. */
  readonly outcome: string | null;
  readonly exitCode: number | null;
  /** Without control sequences; head and tail. */
  readonly output: string;
  /** Of all that it wrote. */
  readonly outputBytes: number | null;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
}

export interface Entry {
  readonly seq: number;
  readonly turnId: string | null;
  readonly turnState: TurnState | null;
  readonly errorCode: string | null;
  readonly step: number | null;
  readonly kind: 'user' | 'assistant' | 'note';
  readonly text: string;
  readonly at: string;
  readonly calls: readonly Call[];
}

/** The latest entries first. */
export interface TranscriptPage extends Page<Entry> {
  /** What happened after the instant of the page comes behind this id of the event stream. */
  readonly events: string;
}

/** An event of the stream that stays. */
export type DurableEvent = TurnEventBody & {
  readonly seq: number;
  readonly turnId: string | null;
  readonly at: string;
};

/**
 * Live text of a part. `index` names the tool call whose output it is, null the model's answer; but where `call.delta` has an
 * index of its own that one comes instead, and the part is the answer.
 */
export type DeltaEvent = TurnDeltaBody & {
  readonly turnId: string;
  readonly step: number;
  readonly index: number | null;
};

export type StreamEvent = DurableEvent | DeltaEvent;
