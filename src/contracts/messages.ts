/**
 * The messages of a lane: signals in, one query out. Payloads are what senders should send; what really arrives is checked by
 * the parse functions below, which never throw, since a throwing handler would stop the lane.
 */
import type { SignalDefinition } from '@temporalio/common';
import { defineQuery, defineSignal } from '@temporalio/workflow';
import type { TurnRef } from './activities.js';
import type { ErrorCode } from './errors.js';
import { InnkeeperError } from './errors.js';
import { parseTurnId, utf8Bytes } from './ids.js';
import { SIGNAL_PROMPT_BYTES_MAX } from './limits.js';
import type { LaneState } from './lane-state.js';

/** A turn is admitted (no prompt: look into Postgres), or a prompt comes from a sender that has only a Temporal client. */
export interface EnqueueTurn {
  readonly turnId: string;
  readonly prompt?: string;
  /** Where admission put the turn: a lane at rest begins it without a look; Postgres has the last word when it begins. */
  readonly admitted?: TurnRef;
}
export interface CancelTurn {
  readonly turnId: string;
}
/** The reconciler found the machine of this generation gone. */
export interface MachineLost {
  readonly generation: number;
}

export const enqueueTurn = defineSignal<[EnqueueTurn]>('enqueueTurn');
export const cancelTurn = defineSignal<[CancelTurn]>('cancelTurn');
export const machineLost = defineSignal<[MachineLost]>('machineLost');
export const sleepNow = defineSignal('sleepNow');
export const wakeNow = defineSignal('wakeNow');
export const destroy = defineSignal('destroy');
/** Something was committed to Postgres that no other message told of: read it again. */
export const look = defineSignal('look');
export const getState = defineQuery<LaneState>('getState');

/** A signal with what it carries, as a sender hands it over. */
export interface LaneMessage {
  readonly signal: { readonly name: string };
  readonly signalArgs: readonly unknown[];
}
export function messageOf<Args extends unknown[]>(signal: SignalDefinition<Args>, ...signalArgs: Args): LaneMessage {
  return { signal, signalArgs };
}

/** What the payload converter leaves in place of a payload that cannot be decoded. */
export interface Undecodable {
  readonly innkeeperUndecodable: string;
}
export function isUndecodable(value: unknown): value is Undecodable {
  return typeof value === 'object' && value !== null && 'innkeeperUndecodable' in value;
}

export type Parsed<T> = { readonly ok: true; readonly value: T } | Refused;
export interface Refused {
  readonly ok: false;
  readonly code: ErrorCode;
  /** Safe to store and show: never repeats what was sent. */
  readonly reason: string;
}

function refuse(code: ErrorCode, reason: string): Refused {
  return { ok: false, code, reason };
}

function fields(payload: unknown): Refused | { readonly ok: true; readonly value: Record<string, unknown> } {
  if (isUndecodable(payload)) return refuse('MESSAGE_INVALID', 'The payload cannot be decoded: send JSON.');
  if (payload === undefined) return refuse('MESSAGE_INVALID', 'The signal came without a payload: send one object.');
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) {
    return refuse('MESSAGE_INVALID', 'The payload must be one JSON object.');
  }
  return { ok: true, value: payload as Record<string, unknown> };
}

function turnIdOf(record: Record<string, unknown>): Parsed<string> {
  try {
    return { ok: true, value: parseTurnId(record['turnId']) };
  } catch (error) {
    return refuse('INVALID_TURN_ID', InnkeeperError.is(error) ? error.message : 'The turn id is not valid.');
  }
}

export function parseEnqueueTurn(payload: unknown): Parsed<EnqueueTurn> {
  const record = fields(payload);
  if (!record.ok) return record;
  const turnId = turnIdOf(record.value);
  if (!turnId.ok) return turnId;
  const prompt = record.value['prompt'];
  if (prompt === undefined || prompt === null) {
    const admitted = admittedOf(record.value['admitted']);
    return { ok: true, value: { turnId: turnId.value, ...(admitted === undefined ? {} : { admitted }) } };
  }
  if (typeof prompt !== 'string') return refuse('MESSAGE_INVALID', 'The field "prompt" must be text.');
  if (prompt.trim() === '') return refuse('PROMPT_EMPTY', 'The prompt is empty.');
  if (utf8Bytes(prompt) > SIGNAL_PROMPT_BYTES_MAX) {
    return refuse('PROMPT_TOO_LARGE', `A prompt inside a signal is at most ${SIGNAL_PROMPT_BYTES_MAX} bytes.`);
  }
  return { ok: true, value: { turnId: turnId.value, prompt } };
}

/** Only spares a look: whatever is not well formed counts as absent, and the lane looks. */
function admittedOf(value: unknown): TurnRef | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { turnKey, position } = value as Partial<Record<keyof TurnRef, unknown>>;
  // At most 18 digits: a longer key may be beyond what a bigint holds, and a step under it would fail at every try.
  if (typeof turnKey !== 'string' || !/^[1-9]\d{0,17}$/.test(turnKey)) return undefined;
  if (typeof position !== 'number' || !Number.isSafeInteger(position) || position < 1) return undefined;
  return { turnKey, position };
}

export function parseCancelTurn(payload: unknown): Parsed<CancelTurn> {
  const record = fields(payload);
  if (!record.ok) return record;
  const turnId = turnIdOf(record.value);
  return turnId.ok ? { ok: true, value: { turnId: turnId.value } } : turnId;
}

export function parseMachineLost(payload: unknown): Parsed<MachineLost> {
  const record = fields(payload);
  if (!record.ok) return record;
  const generation = record.value['generation'];
  if (typeof generation !== 'number' || !Number.isSafeInteger(generation) || generation < 1) {
    return refuse('MESSAGE_INVALID', 'The field "generation" must be a whole number from 1.');
  }
  return { ok: true, value: { generation } };
}
