/**
 * The gateway's way to a machine: only with a lease on it, which keeps the machine awake and is renewed for as long as it is held. What
 * a machine is told goes straight to it; when it exists, wakes and sleeps stays the lane's business (docs/adr/0015).
 */
import type { FastifyBaseLogger } from 'fastify';
import type { InnkeeperClient } from '../client.js';
import { InnkeeperError } from '../contracts/errors.js';
import { LEASE_MS, LEASE_RENEW_MS, LEASE_TOUCH_MS } from '../contracts/limits.js';
import { newIdempotencyKey } from '../machines/idempotency-key.js';
import type { MachineAccess } from '../machines/provider.js';
import { endLease, renewLease, takeLease, type LeaseRef, type TakeLease } from '../store/leases.js';
import type { Store } from '../store/pool.js';
import type { HandBack } from '../store/terminal-notes.js';

export interface MachineLeases {
  /** @throws InnkeeperError MACHINE_ACCESS_OFF, and what takeLease throws */
  hold(options: HoldOptions): Promise<HeldMachine>;
}

export interface HoldOptions extends Omit<TakeLease, 'leaseMs'> {
  /** Hears until when the lease lives, each time anew. */
  onRenewed?(until: Date): void;
}

export interface HeldMachine extends LeaseRef {
  readonly machines: MachineAccess;
  readonly machineId: string;
  /** The lease lives until then, and is renewed before. */
  readonly expiresAt: Date;
  /** Aborts with LEASE_ENDED where it cannot be renewed: the machine may be asleep by then, or somebody else's. */
  readonly lost: AbortSignal;
  /** To be called before anything is sent to the machine. @throws InnkeeperError LEASE_ENDED */
  assertAlive(): void;
  /** Gives the machine back: its idle time counts from here. May be repeated; never rejects. `handBack`: of a terminal. */
  release(handBack?: HandBack): Promise<void>;
}

export interface MachineLeasesParts {
  readonly store: Store;
  readonly client: InnkeeperClient;
  /** undefined: this gateway has no way to machines. */
  readonly machines: MachineAccess | undefined;
  readonly log: FastifyBaseLogger;
}

export function createMachineLeases({ store, client, machines, log }: MachineLeasesParts): MachineLeases {
  return {
    async hold({ onRenewed, ...options }) {
      if (machines === undefined) {
        throw new InnkeeperError('MACHINE_ACCESS_OFF', 'This gateway was given no way to machines.');
      }
      // Counted from before the request, so that we give it up before anybody else takes it for dead.
      const takenAtMs = performance.now();
      const { userId, leaseId, machineId, expiresAt } = await takeLease(store, { ...options, leaseMs: LEASE_MS });
      return keep({ store, client, machines, log }, { userId, leaseId, machineId, expiresAt, takenAtMs, onRenewed });
    },
  };
}

function keep(
  { store, client, machines, log }: MachineLeasesParts & { readonly machines: MachineAccess },
  lease: LeaseRef & {
    readonly machineId: string;
    readonly expiresAt: Date;
    readonly takenAtMs: number;
    readonly onRenewed: HoldOptions['onRenewed'];
  },
): HeldMachine {
  const { userId, leaseId, machineId } = lease;
  const lost = new AbortController();
  let { expiresAt } = lease;
  let endsAtMs = lease.takenAtMs + LEASE_MS;
  let touchedAtMs = lease.takenAtMs;
  let isRenewing = false;
  let released: Promise<void> | undefined;
  const timer = setInterval(() => void beat(), LEASE_RENEW_MS);

  function lose(): void {
    clearInterval(timer);
    lost.abort(new InnkeeperError('LEASE_ENDED', 'The lease on the machine could not be renewed.'));
  }

  async function beat(): Promise<void> {
    const atMs = performance.now();
    if (atMs >= endsAtMs) return lose();
    if (isRenewing) return;
    isRenewing = true;
    try {
      const until = await renewLease(store, { userId, leaseId, leaseMs: LEASE_MS });
      if (until === undefined) return lose();
      expiresAt = until;
      endsAtMs = atMs + LEASE_MS;
      lease.onRenewed?.(until);
      if (atMs - touchedAtMs >= LEASE_TOUCH_MS) {
        touchedAtMs = atMs;
        void touch();
      }
    } catch (error) {
      // Tried again for as long as it lives.
      log.warn({ err: error, machineId }, 'a lease could not be renewed');
    } finally {
      isRenewing = false;
    }
  }

  /** A provider that puts machines to sleep by itself takes requests for activity, and an open terminal perhaps not. Never rejects. */
  async function touch(): Promise<void> {
    const request = { argv: ['/bin/true'], timeoutMs: LEASE_TOUCH_MS };
    try {
      await machines.execute(machineId, request, { idempotencyKey: newIdempotencyKey(), signal: lost.signal });
    } catch (error) {
      log.info({ err: error, machineId }, 'a leased machine could not be touched');
    }
  }

  async function giveBack(handBack: HandBack | undefined): Promise<void> {
    clearInterval(timer);
    try {
      // First, while the machine cannot fall asleep: said to one that has, it would be a wish to wake it.
      if (!lost.signal.aborted) await client.wakeNow({ userId });
    } catch (error) {
      log.info({ err: error, machineId }, 'a lane was not told of the end of a lease');
    }
    try {
      await endLease(store, { userId, leaseId, ...(handBack === undefined ? {} : { handBack }) });
    } catch (error) {
      log.warn({ err: error, machineId }, 'a lease could not be ended: it ends by itself');
    }
  }

  return {
    ...{ userId, leaseId, machineId, machines },
    lost: lost.signal,
    get expiresAt() {
      return expiresAt;
    },
    assertAlive() {
      if (performance.now() >= endsAtMs) lose();
      lost.signal.throwIfAborted();
    },
    release: (handBack) => (released ??= giveBack(handBack)),
  };
}
