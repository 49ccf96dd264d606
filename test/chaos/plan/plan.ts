/**
 * What a run of the fault suite is going to do, made from its seed alone: who says what, and which fault strikes where and when. Pure:
 * the same options give the same plan, so that a failing seed is replayed by typing it.
 */
import { aim, type Aim } from './aim.js';
import { FAULTS, FAULT_KINDS, type FaultKind, type KindOfFault } from './kinds.js';
import { createRandom, type Random } from './random.js';
import { WORKER_POINTS } from './worker-points.js';

export interface PlanOptions {
  readonly seed: string;
  readonly turns: number;
  readonly faults: number;
  readonly users: number;
  readonly kinds: readonly FaultKind[];
}

export interface PlannedFault {
  readonly id: string;
  readonly kind: FaultKind;
  /** The particulars: route, close code, moment, delay. */
  readonly aim: Aim;
}

export interface PlannedCommand {
  /** Unique in the run: what its side effect is counted under. */
  readonly id: string;
  readonly exitCode: number;
  /** Lines of its output, by which its hash is known in advance. */
  readonly outputLines: number;
  /** How long it lasts, ms. */
  readonly holdMs: number;
}

export interface PlannedTurn {
  readonly turnId: string;
  readonly commands: readonly PlannedCommand[];
  /** The machine is put to sleep before it. */
  readonly sleepsBefore: boolean;
  /** By the client library, over HTTP, by a signal that carries the prompt, or by MCP as a call that asks no model. */
  readonly via: 'client' | 'http' | 'signal' | 'mcp';
  readonly faults: readonly PlannedFault[];
}

export interface PlannedUser {
  readonly userId: string;
  readonly turns: readonly PlannedTurn[];
  /** Destroyed after its last turn. */
  readonly isDestroyed: boolean;
}

/** A fault that strikes everybody, once so many turns have ended. */
export interface PlannedServerFault extends PlannedFault {
  readonly afterTurns: number;
}

export interface Plan extends PlanOptions {
  readonly people: readonly PlannedUser[];
  readonly serverFaults: readonly PlannedServerFault[];
  /** In the order in which workers are armed with them. */
  readonly workerPoints: readonly PlannedFault[];
}

/** Turns of a user who is destroyed after them. */
const SHORT_LIFE_TURNS = 2;
/** Share of the turns that belong to such users. */
const SHORT_LIVES = 0.12;
/** Faults that one turn takes at most: more of them only hide each other. */
const FAULTS_PER_TURN_MAX = 5;
/** A command in whose middle something happens lasts long enough for it to happen. */
const STRUCK_HOLD_MS = 1_500;
const CANCELLED_HOLD_MS = 30_000;
/** Turn of a user's life that is longer than a history: the lane continues as new in mid turn. */
const LONG_TURN_COMMANDS = 40;

/** One turn in ten by a signal, three over HTTP. */
const WAYS = ['signal', 'http', 'http', 'http', 'client', 'client', 'client', 'client', 'client', 'client'] as const;

export function makePlan(options: PlanOptions): Plan {
  const random = createRandom(options.seed);
  const drafts = draftUsers(options, random.branch('users'));
  const counts = countFaults(options);
  const deal = random.branch('deal');
  let faults = 0;
  const newFault = (kind: FaultKind): PlannedFault => ({ id: `f${(faults += 1)}`, kind, aim: aim(kind, deal) });
  const workerPoints = dealPoints(counts.get('worker-killed') ?? 0, deal, newFault);
  const serverFaults: PlannedServerFault[] = [];
  const turnKinds: FaultKind[] = [];
  for (const [kind, count] of counts) {
    for (let dealt = 0; dealt < count; dealt += 1) {
      if (FAULTS[kind].scope === 'turn') turnKinds.push(kind);
      if (FAULTS[kind].scope === 'server') {
        const afterTurns = deal.whole(Math.ceil(options.turns * 0.05), Math.floor(options.turns * 0.9));
        serverFaults.push({ ...newFault(kind), afterTurns });
      }
    }
  }
  // A first turn has no machine that a fault could be bound to.
  const later = drafts.flatMap((user) => user.turns.slice(1));
  const first = drafts.flatMap((user) => user.turns.slice(0, 1));
  for (const kind of deal.shuffled(turnKinds)) {
    const slot = chooseSlot(FAULTS[kind].moment === 'create' ? first : later, kind, deal);
    if (slot !== undefined) slot.faults.push(newFault(kind));
  }
  return {
    ...options,
    people: drafts.map(({ turns, ...user }) => ({ ...user, turns: turns.map(finishTurn) })),
    serverFaults: serverFaults.toSorted((one, other) => one.afterTurns - other.afterTurns),
    workerPoints,
  };
}

/** How many faults of each kind: by weight, within its own bound, and at least one of each that was asked for. */
function countFaults({ faults, kinds }: PlanOptions): Map<FaultKind, number> {
  const chosen = FAULT_KINDS.filter((kind) => kinds.includes(kind));
  const total = chosen.reduce((sum, kind) => sum + FAULTS[kind].weight, 0);
  const countOf = ({ weight, atMost = Infinity }: KindOfFault): number =>
    Math.max(1, Math.min(Math.round((faults * weight) / total), atMost));
  return new Map(chosen.map((kind) => [kind, countOf(FAULTS[kind])]));
}

/** Every point once before any comes again. */
function dealPoints(count: number, random: Random, newFault: (kind: FaultKind) => PlannedFault): PlannedFault[] {
  const points: string[] = [];
  while (points.length < count) points.push(...random.shuffled(WORKER_POINTS));
  return points.slice(0, count).map((point) => ({ ...newFault('worker-killed'), aim: { point } }));
}

interface DraftTurn extends Omit<PlannedTurn, 'faults'> {
  readonly faults: PlannedFault[];
}
interface DraftUser extends Omit<PlannedUser, 'turns'> {
  readonly turns: DraftTurn[];
}

function draftUsers({ turns, users }: PlanOptions, random: Random): DraftUser[] {
  const shortLived = users > 1 ? Math.ceil((turns * SHORT_LIVES) / SHORT_LIFE_TURNS) : 0;
  const rest = Math.max(users, turns - shortLived * SHORT_LIFE_TURNS);
  const lives = [
    ...Array.from({ length: users }, (_, index) => Math.floor((rest + index) / users)),
    ...Array.from({ length: shortLived }, () => SHORT_LIFE_TURNS),
  ];
  return lives.map((length, index) => ({
    userId: index < users ? `user-${index}` : `guest-${index}`,
    isDestroyed: index >= users,
    turns: Array.from({ length }, (_, number) => draftTurn(`u${index}-t${number}`, number, random)),
  }));
}

function draftTurn(turnId: string, number: number, random: Random): DraftTurn {
  const isLong = number > 0 && random.chance(0.005);
  const length = isLong ? LONG_TURN_COMMANDS : random.pick([1, 1, 2, 2, 3]);
  return {
    turnId,
    commands: Array.from({ length }, (_, index) => ({
      id: `${turnId}-c${index}`,
      exitCode: random.pick([0, 0, 0, 1, 7, 42]),
      outputLines: random.pick([1, 3, 40, 400]),
      holdMs: isLong ? 0 : random.pick([0, 0, 100, 300]),
    })),
    sleepsBefore: number > 0 && random.chance(0.4),
    via: number === 0 ? 'client' : random.pick(WAYS),
    faults: [],
  };
}

/** The turn that has the fewest faults yet, among some that this kind can strike. */
function chooseSlot(slots: readonly DraftTurn[], kind: FaultKind, random: Random): DraftTurn | undefined {
  const fitting = slots.filter((turn) => fits(turn, kind));
  if (fitting.length === 0) return undefined;
  const some = Array.from({ length: 4 }, () => random.pick(fitting));
  return some.toSorted((one, other) => one.faults.length - other.faults.length)[0];
}

function fits(turn: DraftTurn, kind: FaultKind): boolean {
  const { moment, isMajor } = FAULTS[kind];
  const kinds = turn.faults.map((fault) => fault.kind);
  if (turn.faults.length >= FAULTS_PER_TURN_MAX || turn.commands.length === LONG_TURN_COMMANDS) return false;
  if (isMajor === true && kinds.some((other) => FAULTS[other].isMajor)) return false;
  if (moment === 'create') return !kinds.includes(kind);
  if (moment === 'sleep' || kind === 'disk-rolled-back') return turn.sleepsBefore && !kinds.includes(kind);
  if (moment === 'prompt') return !kinds.some((other) => FAULTS[other].moment === 'prompt');
  if (moment === 'submit') return turn.via === 'client' && !kinds.some((other) => FAULTS[other].moment === 'submit');
  return true;
}

function finishTurn(turn: DraftTurn): PlannedTurn {
  const struck = turn.faults.find(({ kind }) => FAULTS[kind].moment === 'command');
  if (struck === undefined) return turn;
  const holdMs = struck.kind === 'turn-cancelled' ? CANCELLED_HOLD_MS : STRUCK_HOLD_MS;
  return { ...turn, commands: turn.commands.map((command, index) => (index === 0 ? { ...command, holdMs } : command)) };
}
