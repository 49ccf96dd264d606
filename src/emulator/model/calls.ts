/** The record of model calls, so that tests and people can count what was asked; and the counter of faults dealt out. */
import type { FaultCounter } from './decide.js';

export interface ModelCallRecord {
  readonly seq: number;
  /** ISO 8601. */
  readonly at: string;
  /** SHA-256 (hex) of the last thing the person said. */
  readonly promptHash: string;
  /** Its beginning. */
  readonly prompt: string;
  readonly messages: number;
  /** Of the request's body. */
  readonly bytes: number;
  readonly toolNames: readonly string[];
  /** `answer`, `bad_request`, or the kind of a fault. */
  readonly kind: string;
  readonly finish: string;
  readonly toolCalls: number;
  readonly stream: boolean;
}

/** Calls that are kept; older ones are forgotten. */
const CALLS_KEPT_MAX = 20_000;
const CONVERSATIONS_KEPT_MAX = 10_000;

export interface CallRecorder {
  add(call: Omit<ModelCallRecord, 'seq' | 'at'>): ModelCallRecord;
  /** Calls with a number above `after`, oldest first. */
  list(after: number, limit: number): ModelCallRecord[];
  readonly lastSeq: number;
}

export function createCallRecorder(now: () => Date): CallRecorder {
  const calls: ModelCallRecord[] = [];
  let lastSeq = 0;
  return {
    add(call) {
      lastSeq += 1;
      const record = { seq: lastSeq, at: now().toISOString(), ...call };
      calls.push(record);
      if (calls.length > CALLS_KEPT_MAX) calls.splice(0, calls.length - CALLS_KEPT_MAX);
      return record;
    },
    list: (after, limit) => calls.filter((call) => call.seq > after).slice(0, limit),
    get lastSeq() {
      return lastSeq;
    },
  };
}

export interface ResettableFaultCounter extends FaultCounter {
  reset(): void;
}

export function createFaultCounter(): ResettableFaultCounter {
  const conversations = new Map<string, Map<string, number>>();
  return {
    take(conversation, fault) {
      const counts = conversations.get(conversation) ?? new Map<string, number>();
      conversations.delete(conversation);
      conversations.set(conversation, counts);
      const [oldest] = conversations.keys();
      if (conversations.size > CONVERSATIONS_KEPT_MAX && oldest !== undefined) conversations.delete(oldest);
      const before = counts.get(fault) ?? 0;
      counts.set(fault, before + 1);
      return before;
    },
    clear: (conversation) => void conversations.delete(conversation),
    reset: () => conversations.clear(),
  };
}
