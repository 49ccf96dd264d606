/** What the gateway would answer after some of the frames, and what it would send behind that. Written without the page's own code. */
import type { Call, Entry, StreamEvent, TranscriptPage, Turn } from '../../../../web/api/answers.js';
import { promptOf, type Frame } from './world.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export interface Snapshot {
  readonly page: TranscriptPage;
  /** Every turn that was submitted. */
  readonly turns: readonly Turn[];
  /** Live text of the part that is being made, as it is sent to whoever comes now. */
  readonly live: readonly StreamEvent[];
}

export function snapshotOf(frames: readonly Frame[]): Snapshot {
  const entries: (Mutable<Omit<Entry, 'calls'>> & { calls: Mutable<Call>[] })[] = [];
  const turns = new Map<string, Mutable<Turn> & { code: string | null }>();
  let seq = 0;
  for (const { event } of frames) {
    if (!('seq' in event)) continue;
    seq = event.seq;
    const { turnId, at } = event;
    const entry = { seq: entries.length + 1, turnId, turnState: null, errorCode: null, step: null, at, calls: [] };
    const callOf = (of: { step: number; index: number }): Mutable<Call> | undefined =>
      entries
        .find((each) => each.turnId === turnId && each.step === of.step)
        ?.calls.find(({ index }) => index === of.index);
    if (event.type === 'machine.replaced') entries.push({ ...entry, kind: 'note', text: 'replaced' });
    if (turnId === null) continue;
    const turn = turns.get(turnId);
    if (event.type === 'turn.queued') {
      turns.set(turnId, { turnId, position: event.position, state: 'queued', prompt: promptOf(turnId), code: null });
    } else if (event.type === 'turn.started') {
      if (turn !== undefined) turn.state = 'running';
      entries.push({ ...entry, kind: 'user', text: promptOf(turnId) });
    } else if (event.type === 'turn.ended') {
      if (turn !== undefined) Object.assign(turn, { state: event.outcome, code: event.code });
    } else if (event.type === 'step.answered') {
      const nothing = { outcome: null, exitCode: null, output: '', outputBytes: null, startedAt: null, endedAt: null };
      const calls = event.calls.map((call) => ({ ...call, ...nothing }));
      entries.push({ ...entry, kind: 'assistant', step: event.step, text: event.text, calls });
    } else if (event.type === 'command.started') {
      Object.assign(callOf(event) ?? {}, { startedAt: at });
    } else if (event.type === 'command.ended') {
      const { outcome, exitCode, output, outputBytes } = event;
      Object.assign(callOf(event) ?? {}, { outcome, exitCode, output, outputBytes, endedAt: at });
    }
  }
  for (const entry of entries) {
    const turn = entry.turnId === null ? undefined : turns.get(entry.turnId);
    Object.assign(entry, { turnState: turn?.state ?? null, errorCode: turn?.code ?? null });
  }
  const page = { items: entries.toReversed(), next: null, events: String(seq) };
  return { page, turns: [...turns.values()], live: liveOf(frames) };
}

/** The newest try of the part that the last delta is of, where nothing has completed it. */
function liveOf(frames: readonly Frame[]): StreamEvent[] {
  const at = frames.findLastIndex(({ event }) => !('seq' in event));
  const last = frames[at];
  if (last === undefined || 'seq' in last.event) return [];
  const name = partOf(last.event);
  const isOver = frames.slice(at).some(({ event }) => completes(event, name));
  const isOfTry = (frame: Frame): boolean =>
    !('seq' in frame.event) && partOf(frame.event) === name && frame.try === last.try;
  return isOver ? [] : frames.filter(isOfTry).map(({ event }) => event);
}

function partOf(delta: Exclude<StreamEvent, { readonly seq: number }>): string {
  // The index of a call's arguments is not the part's.
  return JSON.stringify([delta.turnId, delta.step, delta.type === 'call.delta' ? null : delta.index]);
}

function completes(event: StreamEvent, name: string): boolean {
  if (!('seq' in event)) return false;
  if (event.type === 'step.answered') return JSON.stringify([event.turnId, event.step, null]) === name;
  if (event.type === 'command.ended') return JSON.stringify([event.turnId, event.step, event.index]) === name;
  return event.type === 'turn.ended' && name.startsWith(`["${event.turnId ?? ''}",`);
}
