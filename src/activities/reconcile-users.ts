/**
 * One page of users: ledger, record and lanes against what the provider's list held. Nothing that a lane owns is changed here: the
 * lane is told, and settles it. Machines are only asked for at the provider, which wakes none.
 */
import type { ReportedFinding, UserPage, UserPageInput } from '../contracts/reconcile.js';
import { RECONCILE_PAGE_USERS_MAX, RECONCILE_PARALLEL_MAX } from '../contracts/limits.js';
import {
  cancelTurn,
  enqueueTurn,
  look,
  machineLost,
  messageOf,
  sleepNow,
  wakeNow,
  type LaneMessage,
} from '../contracts/messages.js';
import { userToReconcile, usersToReconcile, type UserRow } from '../store/reconcile.js';
import { findSightings, type Sighting } from '../store/sightings.js';
import type { MachinePhase } from '../machines/provider.js';
import { cancellationSignal } from './context.js';
import { findSurely } from './machine-polls.js';
import { suspect, type CompareSettings, type Sight, type Suspicion } from './reconcile-compare.js';
import { handleFinding, inParallel, toSeen, type ReconcileDeps } from './reconcile-deps.js';

interface Suspected {
  readonly user: UserRow;
  readonly suspicion: Suspicion;
}

interface Confirmed extends Suspicion {
  /** A run of the lane that can never go on. It is ended first, and the message starts the next one. */
  readonly stuckRunId: string | null;
}

export function createReconcileUsers(deps: ReconcileDeps): (input: UserPageInput) => Promise<UserPage> {
  const { store, machines, lanes, polls } = deps;
  const { quietMs, idleMs } = deps.reconcile;
  const settings: Omit<CompareSettings, 'listedAt'> = { quietMs, idleMs, createTimeoutMs: polls.createTimeoutMs };

  function keyOf(user: UserRow): string | undefined {
    const machineId = user.machine?.machineId;
    return typeof machineId === 'string' ? machines.spellingsOf(machineId)[0] : undefined;
  }

  async function suspectAll(users: readonly UserRow[], input: UserPageInput): Promise<Suspected[]> {
    const keys = users.map(keyOf).filter((key) => key !== undefined);
    const seen = input.isListingWhole
      ? await findSightings(store, { reconcileId: input.reconcileId, machineKeys: keys })
      : undefined;
    const listedAt = new Date(input.startedAtMs);
    return users.flatMap((user) => {
      const sight = seen === undefined ? 'unlisted' : toSight(seen.get(keyOf(user) ?? ''));
      return suspect(user, sight, { ...settings, listedAt }).map((suspicion) => ({ user, suspicion }));
    });
  }

  /** Looks again, the provider first: what the ledger says then is newer. undefined: nothing is wrong after all. */
  async function confirm({ user, suspicion }: Suspected): Promise<Confirmed | undefined> {
    const { kind, subject } = suspicion;
    const isOfMachine = kind === 'machine_gone' || kind === 'awake_without_reason';
    const machine = isOfMachine ? await findSurely(deps, subject, cancellationSignal()) : undefined;
    const sight: Sight = isOfMachine ? machine && toSeen(machine) : 'unlisted';
    const fresh = await userToReconcile(store, user.workflowId);
    if (fresh === undefined) return undefined;
    const again = suspect(fresh, sight, { ...settings, listedAt: fresh.now });
    const still = again.find((other) => other.kind === kind && other.subject === subject);
    return still === undefined ? undefined : confirmByLane(fresh.workflowId, { ...still, stuckRunId: null });
  }

  async function confirmByLane(workflowId: string, suspected: Confirmed): Promise<Confirmed | undefined> {
    const { unlessLane } = suspected;
    const lane = await lanes.conditionOf(workflowId);
    if (lane.kind === 'failing') {
      if (lane.cannotReplay) return { ...suspected, reason: 'lane_cannot_replay', stuckRunId: lane.runId };
      // A defect of its code: the next run would meet it again, and this one is the evidence.
      return { ...suspected, action: 'report', reason: 'lane_task_fails' };
    }
    if (unlessLane === null) return suspected;
    if (lane.kind === 'ended') return { ...suspected, reason: 'lane_not_running' };
    if (unlessLane === 'running') return undefined;
    const state = await lanes.ask(workflowId);
    const isAboutToAct = state?.turn !== null || Date.parse(state.idleDueAt ?? '') > Date.now() - quietMs;
    return state !== undefined && isAboutToAct ? undefined : { ...suspected, reason: 'lane_is_idle' };
  }

  async function act(workflowId: string, { stuckRunId, ...confirmed }: Confirmed, generation: number): Promise<void> {
    if (stuckRunId !== null) {
      const reason = `The reconciler found that it cannot replay (${confirmed.kind}); the next run goes on from Postgres`;
      await lanes.terminate({ workflowId, runId: stuckRunId, reason });
    }
    await lanes.tell(workflowId, toMessage(confirmed, generation));
  }

  async function handle(input: UserPageInput, suspected: Suspected): Promise<ReportedFinding | undefined> {
    const confirmed = await confirm(suspected);
    if (confirmed === undefined) return undefined;
    const { workflowId, machine } = suspected.user;
    const { kind, subject, action, reason } = confirmed;
    return handleFinding(
      deps,
      input,
      { kind, subject, workflowId },
      {
        decide: () => ({ action, reason }),
        act: () => act(workflowId, confirmed, machine?.generation ?? 0),
      },
    );
  }

  return async (input) => {
    const limit = RECONCILE_PAGE_USERS_MAX;
    const users = await usersToReconcile(store, { after: input.after, limit });
    const suspected = await suspectAll(users, input);
    const handled = await inParallel(suspected, RECONCILE_PARALLEL_MAX, (one) => handle(input, one));
    const findings = handled.filter((finding) => finding !== undefined);
    const last = users.at(-1);
    const next = users.length < limit || last === undefined ? null : last.workflowId;
    return { next, users: users.length, findings };
  };
}

function toSight(sighting: Sighting | undefined): Sight {
  return sighting && { phase: sighting.phase as MachinePhase, isEnding: sighting.isEnding };
}

function toMessage({ action, subject }: Suspicion, generation: number): LaneMessage {
  switch (action) {
    case 'machineLost':
      return messageOf(machineLost, { generation });
    case 'enqueueTurn':
      return messageOf(enqueueTurn, { turnId: subject });
    case 'cancelTurn':
      return messageOf(cancelTurn, { turnId: subject });
    case 'sleepNow':
      return messageOf(sleepNow);
    case 'wakeNow':
      return messageOf(wakeNow);
    case 'look':
      return messageOf(look);
    case 'report':
    case 'wait':
    case 'destroy':
      throw new Error(`no lane is told of ${action}`);
  }
}
