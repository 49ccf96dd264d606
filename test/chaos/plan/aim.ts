/** The particulars of a fault, drawn by chance: which route, which close code, how late. */
import type { FaultKind } from './kinds.js';
import type { Random } from './random.js';

export interface Aim {
  /** A place in the code of a worker. */
  readonly point?: string;
  /** A route of the provider, as its ledger names it. */
  readonly route?: string;
  readonly closeCode?: number;
  /** Terminals: at connection, on input, on output. Responses: before or after the effect. */
  readonly at?: 'before' | 'during' | 'after';
  readonly afterBytes?: number;
  readonly delayMs?: number;
}

/** Requests of a machine that is put to sleep and woken for a turn. */
const CHANGES = ['machines.sleep', 'machines.wake'] as const;
const ANY = [...CHANGES, 'machines.get', 'executions.create', 'terminals.create'] as const;
const CLOSE_CODES = [1000, 1001, 1006, 1011, 1012] as const;

export function aim(kind: FaultKind, random: Random): Aim {
  switch (kind) {
    case 'terminal-drop':
      return {
        closeCode: random.pick(CLOSE_CODES),
        at: random.pick(['before', 'during', 'after', 'after']),
        afterBytes: random.pick([1, 100, 1_000]),
      };
    case 'frame-torn':
    case 'frame-duplicated':
      return { at: random.pick(['during', 'after']) };
    case 'frame-delayed':
      return { at: random.pick(['during', 'after']), delayMs: random.whole(50, 700) };
    case 'frame-late':
      return { at: random.pick(['during', 'after']), delayMs: random.whole(300, 2_500) };
    case 'conflict-409':
    case 'refused-412':
    case 'error-after-commit':
    case 'response-reordered':
      return { route: random.pick(CHANGES) };
    case 'stale-read':
      return { route: 'machines.get' };
    case 'response-delayed':
      return { route: random.pick(ANY), at: random.pick(['before', 'after']), delayMs: random.whole(100, 800) };
    case 'response-lost':
    case 'response-cut':
    case 'limited-429':
    case 'limited-429-hint':
    case 'error-500':
    case 'error-502':
    case 'error-503':
      return { route: random.pick(ANY) };
    case 'worker-frozen':
      return { delayMs: random.whole(6_500, 8_000) };
    case 'postgres-exhausted':
      return { delayMs: random.whole(300, 1_500) };
    default:
      return {};
  }
}
