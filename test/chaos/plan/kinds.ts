/**
 * Every kind of fault of the suite: where it strikes, and how often in a plan. A plan deals them like cards; how each is carried out
 * is in strike/.
 */

import { WORKER_POINTS } from './worker-points.js';

/** What a fault is aimed at. Server faults strike everybody; the others one turn of one user. */
export type Scope = 'worker' | 'server' | 'turn';

/**
 * When a fault of a turn strikes. `create`: as the user's first machine is made; `sleep`: on the requests of a machine that is put to sleep and woken for the turn; `submit`: as the
 * turn is submitted; `command`: in the middle of its first command; `prompt`: the model's calls; `frames`: the terminal's next frames.
 */
export type Moment = 'create' | 'sleep' | 'submit' | 'command' | 'prompt' | 'frames';

export interface KindOfFault {
  readonly scope: Scope;
  readonly moment?: Moment;
  /** Share of a plan's faults. */
  readonly weight: number;
  /** Faults of it that a plan has at most, whatever its size. */
  readonly atMost?: number;
  /** Ends processes of guests, so that an outcome may be unknown. */
  readonly breaksGuest?: true;
  /** Ends a lane in mid turn, so that a command may be interrupted. */
  readonly breaksLane?: true;
  /** At most one of these a turn. */
  readonly isMajor?: true;
}

const turn = (moment: Moment, weight: number, more: Partial<KindOfFault> = {}): KindOfFault => ({
  scope: 'turn',
  moment,
  weight,
  ...more,
});
const major = (weight: number, more: Partial<KindOfFault> = {}): KindOfFault =>
  turn('command', weight, { isMajor: true, ...more });
const server = (weight: number, more: Partial<KindOfFault> = {}): KindOfFault => ({ scope: 'server', weight, ...more });

const KINDS = {
  // Each costs seconds of processor time, for the next worker and the lanes that it has to replay; each place is struck five times by then.
  'worker-killed': { scope: 'worker', weight: 76, atMost: 5 * WORKER_POINTS.length },
  'worker-frozen': server(4),
  'temporal-killed': server(4),
  'postgres-killed': server(5),
  'emulator-killed': server(4, { breaksGuest: true }),
  'postgres-reset': server(10),
  'postgres-exhausted': server(5),
  'gateway-killed': server(4),
  'followers-cut': server(3),

  'lane-terminated': major(8, { breaksLane: true }),
  'lane-cancelled': major(8, { breaksLane: true }),
  'lane-reset': major(8, { breaksLane: true }),
  'guest-shell-killed': major(10),
  'guest-runner-killed': major(8, { breaksGuest: true }),
  'guest-killed': major(8, { breaksGuest: true }),
  'machine-deleted': major(6, { breaksGuest: true }),
  'machine-autosleep': major(6, { breaksGuest: true }),
  'disk-rolled-back': major(6, { breaksGuest: true }),
  'turn-cancelled': major(12),

  'terminal-drop': turn('frames', 50),
  'frame-torn': turn('frames', 20),
  'frame-duplicated': turn('frames', 20),
  'frame-delayed': turn('frames', 16),
  'frame-late': turn('frames', 16),

  'create-unanswered': turn('create', 6),
  'response-lost': turn('sleep', 18),
  'response-cut': turn('sleep', 14),
  'response-delayed': turn('sleep', 10),
  'response-reordered': turn('sleep', 8),
  'stale-read': turn('sleep', 12),
  'error-after-commit': turn('sleep', 10),
  'conflict-409': turn('sleep', 14),
  'refused-412': turn('sleep', 10),
  'limited-429': turn('sleep', 12),
  'limited-429-hint': turn('sleep', 12),
  'error-500': turn('sleep', 12),
  'error-502': turn('sleep', 12),
  'error-503': turn('sleep', 12),
  'wake-endless': turn('sleep', 8),
  'wake-failed': turn('sleep', 8, { breaksGuest: true }),
  'not-routable': turn('sleep', 10),

  'commit-lost': turn('submit', 10),
  'commit-unanswered': turn('submit', 10),
  'submit-duplicate': turn('submit', 12),
  'submit-concurrent': turn('submit', 8),

  'model-timeout': turn('prompt', 6),
  'model-reset': turn('prompt', 8),
  'model-malformed': turn('prompt', 8),
  'model-429': turn('prompt', 8),
} as const satisfies Record<string, KindOfFault>;

export type FaultKind = keyof typeof KINDS;

export const FAULTS: Readonly<Record<FaultKind, KindOfFault>> = KINDS;
export const FAULT_KINDS = Object.keys(KINDS) as FaultKind[];

/** @param list comma-separated kinds, or beginnings of their names. @throws Error for a name that fits none */
export function parseKinds(list: string): FaultKind[] {
  const chosen = list.split(',').flatMap((name) => {
    const fitting = FAULT_KINDS.filter((kind) => kind === name || kind.startsWith(`${name}-`));
    if (fitting.length === 0) throw new Error(`There is no kind of fault "${name}": ${FAULT_KINDS.join(', ')}.`);
    return fitting;
  });
  return FAULT_KINDS.filter((kind) => chosen.includes(kind));
}
