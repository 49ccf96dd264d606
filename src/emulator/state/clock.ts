/** The emulator's movable clock. Timestamps and autosleep follow it; phase delays and command timeouts are real time. */
import { TIMER_MS_MAX } from '../constants.js';
import type { EmulatorRecord } from './records.js';

export interface EmulatorClock {
  /** Milliseconds since the epoch, by the emulator's clock. */
  now(): number;
  nowIso(): string;
  rate(): number;
  advance(ms: number): void;
  setRate(rate: number): void;
  snapshot(): EmulatorRecord['clock'];
  /** Calls back once the clock has reached `atMs`, also when it is moved there. Returns a canceller. */
  schedule(atMs: number, callback: () => void): () => void;
  stop(): void;
}

interface Alarm {
  atMs: number;
  callback: () => void;
  timer: NodeJS.Timeout | undefined;
}

export function createClock(saved: EmulatorRecord['clock'] | undefined): EmulatorClock {
  let { anchorWallMs, anchorMs, rate } = saved ?? { anchorWallMs: Date.now(), anchorMs: Date.now(), rate: 1 };
  const alarms = new Set<Alarm>();

  const now = (): number => Math.floor(anchorMs + (Date.now() - anchorWallMs) * rate);
  const arm = (alarm: Alarm): void => {
    clearTimeout(alarm.timer);
    alarm.timer = undefined;
    const left = alarm.atMs - now();
    if (left > 0 && rate === 0) return;
    const waitMs = left <= 0 ? 0 : Math.min(Math.ceil(left / rate), TIMER_MS_MAX);
    alarm.timer = setTimeout(() => {
      if (alarm.atMs > now()) return arm(alarm);
      alarms.delete(alarm);
      alarm.callback();
    }, waitMs);
    alarm.timer.unref();
  };
  const move = (ms: number, newRate: number): void => {
    anchorMs = now() + ms;
    anchorWallMs = Date.now();
    rate = newRate;
    for (const alarm of alarms) arm(alarm);
  };

  return {
    now,
    nowIso: () => new Date(now()).toISOString(),
    rate: () => rate,
    advance: (ms) => move(ms, rate),
    setRate: (newRate) => move(0, newRate),
    snapshot: () => ({ anchorWallMs, anchorMs, rate }),
    schedule: (atMs, callback) => {
      const alarm: Alarm = { atMs, callback, timer: undefined };
      alarms.add(alarm);
      arm(alarm);
      return () => {
        clearTimeout(alarm.timer);
        alarms.delete(alarm);
      };
    },
    stop: () => {
      for (const alarm of alarms) clearTimeout(alarm.timer);
      alarms.clear();
    },
  };
}
