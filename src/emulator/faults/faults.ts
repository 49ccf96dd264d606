/** Faults that a test asked for through the admin route, each used a counted number of times. */
import { z } from 'zod';

export const FAULT_KINDS = [
  'revision-conflict',
  'status',
  'internal-signature',
  'not-routable-503',
  'delay',
  'response-lost',
  'cut-json',
  'error-after-commit',
  'null-items',
  'unknown-phase',
  'stale-read',
  'execution-refusal',
  'placement-pending',
  'runtime-wake-failed',
  'terminal-drop',
  'frame-torn',
  'frame-duplicated',
  'frame-delayed',
  'frame-late',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Close codes a server cannot send are made by cutting the TCP connection. */
export const CUT_CLOSE_CODES: readonly number[] = [1005, 1006, 1015];

export const faultSchema = z
  .object({
    kind: z.enum(FAULT_KINDS),
    /** How many times it strikes. */
    count: z.number().int().min(1).max(1_000_000).default(1),
    match: z.object({ route: z.string().optional(), machineId: z.string().optional() }).strict().default({}),
    /** status, error-after-commit */
    status: z.number().int().min(400).max(599).default(500),
    /** status, error-after-commit: error_code; execution-refusal: the document's error_code */
    code: z.string().optional(),
    message: z.string().optional(),
    retryable: z.boolean().optional(),
    /** status: `retry_after_ms` in the body. */
    retryAfterMs: z.number().int().min(0).optional(),
    /** status: `Retry-After` and `retry-after-ms` headers. */
    retryAfterHeaderMs: z.number().int().min(0).optional(),
    /** delay, frame-delayed, frame-late */
    delayMs: z.number().min(0).max(600_000).default(1_000),
    /**
     * delay: before or after the change is committed. terminal-drop: at connection, after input, after output. frame-…: of input at
     * `during`, of output at `after`.
     */
    at: z.enum(['before', 'during', 'after']).default('before'),
    /** terminal-drop */
    closeCode: z.number().int().default(1006),
    /** terminal-drop, at after: bytes of output that pass first. */
    afterBytes: z.number().int().min(0).default(1),
    /** unknown-phase */
    phase: z.string().default('wake_pending'),
  })
  .strict();

export type FaultSpec = z.infer<typeof faultSchema>;

export interface FaultState extends FaultSpec {
  id: number;
  hits: number;
}

export interface FaultTarget {
  route?: string;
  machineId?: string;
  at?: FaultSpec['at'];
}

export class Faults {
  onHit: (fault: FaultState, target: FaultTarget) => void = () => undefined;
  #faults: FaultState[] = [];
  #nextId = 1;

  add(spec: FaultSpec): FaultState {
    const fault = { ...spec, id: this.#nextId++, hits: 0 };
    this.#faults.push(fault);
    return fault;
  }

  list(): FaultState[] {
    return [...this.#faults];
  }

  clear(): void {
    this.#faults = [];
  }

  /** Uses up one strike of the oldest fault of this kind that fits the target. */
  take(kind: FaultKind, target: FaultTarget): FaultState | undefined {
    const fault = this.#faults.find((candidate) => candidate.kind === kind && fits(candidate, target));
    if (!fault) return undefined;
    fault.hits += 1;
    if (fault.hits >= fault.count) this.#faults = this.#faults.filter((other) => other !== fault);
    this.onHit(fault, target);
    return fault;
  }
}

function fits(fault: FaultState, target: FaultTarget): boolean {
  const { route, machineId } = fault.match;
  if (route !== undefined && route !== target.route) return false;
  if (machineId !== undefined && bare(machineId) !== bare(target.machineId ?? '')) return false;
  return target.at === undefined || fault.at === target.at;
}

function bare(machineId: string): string {
  return machineId.replace(/^dm-/, '');
}
