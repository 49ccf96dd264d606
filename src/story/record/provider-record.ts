/** The provider's own record: the emulator's ledger, and what it knows of machines behind its API's back. */

export interface LedgerEntry {
  readonly seq: number;
  /** By the provider's clock, ISO 8601. */
  readonly at: string;
  /** By the clock of this computer. */
  readonly wallAt: string;
  readonly kind: string;
  readonly machineId?: string;
  readonly [field: string]: unknown;
}

export interface MachineTruth {
  readonly machineId: string;
  readonly phase: string;
  readonly revision: number;
  readonly bootId: string | null;
  readonly isFrozen: boolean;
  /** Of the guest's home, on this computer. */
  readonly homePath: string;
  /** Of the guest's process 1, as this computer numbers it; null while it does not run. */
  readonly initPid: number | null;
  readonly sizes: { readonly vcpu: number; readonly memoryMib: number; readonly storageGib: number };
}

export interface ProviderRecord {
  /** Entries after `seq`, oldest first. */
  ledger(afterSeq: number): Promise<LedgerEntry[]>;
  /** Place in the ledger from which on something is going to be looked at. */
  mark(): Promise<number>;
  machine(machineId: string): Promise<MachineTruth>;
  /** The provider's clock, ms since the epoch. */
  nowMs(): Promise<number>;
  advanceClock(ms: number): Promise<void>;
  /** The next change of this machine on this route loses a race over the revision, though its If-Match was right. */
  injectConflict(route: 'machines.sleep' | 'machines.wake', machineId: string): Promise<void>;
}

export function openProviderRecord(emulator: { readonly url: string; readonly apiKey: string }): ProviderRecord {
  async function call<T>(method: 'GET' | 'POST', path: string, body?: object): Promise<T> {
    const response = await fetch(`${emulator.url}/_emulator${path}`, {
      method,
      headers: { authorization: `Bearer ${emulator.apiKey}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`The emulator answered ${response.status} to ${method} ${path}.`);
    return (await response.json()) as T;
  }
  return {
    ledger: async (afterSeq) => (await call<{ entries: LedgerEntry[] }>('GET', `/ledger?after=${afterSeq}`)).entries,
    mark: async () => (await call<{ lastSeq: number }>('GET', '/ledger?limit=0')).lastSeq,
    machine: (machineId) => call('GET', `/machines/${machineId}`),
    nowMs: async () => (await call<{ nowMs: number }>('GET', '/clock')).nowMs,
    advanceClock: async (advanceMs) => void (await call('POST', '/clock', { advanceMs })),
    injectConflict: async (route, machineId) =>
      void (await call('POST', '/faults', { kind: 'revision-conflict', match: { route, machineId } })),
  };
}

/** Calls of one route of one machine, oldest first. */
export function callsOf(entries: readonly LedgerEntry[], of: { route: string; machineId: string }): LedgerEntry[] {
  return entries.filter(
    (entry) => entry.kind === 'api' && entry['route'] === of.route && entry.machineId === of.machineId,
  );
}

export function isAccepted(call: LedgerEntry): boolean {
  return call['status'] === 200 || call['status'] === 202;
}

export interface Interval {
  readonly fromMs: number;
  readonly untilMs: number;
}

const ENDS_AWAKE: ReadonlySet<unknown> = new Set(['sleeping', 'destroying', 'destroyed', 'failed']);

/** When a machine was awake, by its changes of phase; what is still going on ends at `atMs`. */
export function awakeIntervals(entries: readonly LedgerEntry[], machineId: string, atMs: number): Interval[] {
  const intervals: Interval[] = [];
  let fromMs: number | undefined;
  for (const entry of entries) {
    if (entry.kind !== 'machine.phase' || entry.machineId !== machineId) continue;
    if (entry['to'] === 'running') fromMs ??= Date.parse(entry.at);
    if (fromMs !== undefined && ENDS_AWAKE.has(entry['to'])) {
      intervals.push({ fromMs, untilMs: Date.parse(entry.at) });
      fromMs = undefined;
    }
  }
  return fromMs === undefined ? intervals : [...intervals, { fromMs, untilMs: atMs }];
}
