/**
 * `npm run soak -- --minutes M`: steady mixed load, and how memory, file descriptors, sandboxes, zombies and tables grow meanwhile.
 * `npm run soak -- --turns N`: N turns of one user one after the other; events and time of a turn stay flat, every run of the lane
 * under its bound, every turn once.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { readRssBytes } from '../../bench/processes.js';
import { HISTORY_EVENTS_MAX } from '../../src/contracts/limits.js';
import { readLines } from '../../src/story/record/guest-record.js';
import { conclude, runProgram, say, UsageError } from './program.js';
import { withRig, type Rig } from './rig.js';
import type { MachineTruth } from './run-context.js';

const USERS = 8;
const SAMPLES = 60;
/** Caches fill and tables find their size: the first third of a run is left out. */
const WARM_UP = 1 / 3;
/** From the end of the warm-up to the end of the run, of both workers together. */
const GROWTH_MAX: Partial<Record<keyof Sample, number>> = { memoryMib: 256, descriptors: 64 };
const TURN_MS_MAX = 120_000;
/** A lane rolls over at its next rest: a turn more than the bound. */
const RUN_EVENTS_MAX = HISTORY_EVENTS_MAX * 1.2;
const MIB = 1024 * 1024;

type Sample = Readonly<
  Record<'minutes' | 'turns' | 'memoryMib' | 'descriptors' | 'sandboxes' | 'zombies' | 'tablesMib', number>
>;

async function sample(rig: Rig, beganAtMs: number, turns: number): Promise<Sample> {
  const pids = rig.stack.workers.map(({ pid }) => pid);
  const { machines } = await rig.stack.emulator.get<{ machines: MachineTruth[] }>('/_emulator/machines');
  const [size] = await rig.sql<{ bytes: string }>('select pg_database_size(current_database())::text as bytes');
  const sum = (of: (pid: number) => number): number => pids.reduce((total, pid) => total + of(pid), 0);
  return {
    minutes: (Date.now() - beganAtMs) / 60_000,
    turns,
    memoryMib: sum(readRssBytes) / MIB,
    descriptors: sum((pid) => readdirSync(`/proc/${pid}/fd`).length),
    sandboxes: machines.filter(({ initPid }) => initPid !== null).length,
    zombies: countZombies(),
    tablesMib: Number(size?.bytes ?? 0) / MIB,
  };
}

function countZombies(): number {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
    } catch {
      return false; // It ended meanwhile.
    }
  }).length;
}

/** Growth of a figure for each hour, by least squares. */
function slopePerHour(samples: readonly Sample[], name: keyof Sample): number {
  const mean = (of: keyof Sample): number => samples.reduce((sum, one) => sum + one[of], 0) / samples.length;
  const [x, y] = [mean('minutes'), mean(name)];
  const above = samples.reduce((sum, one) => sum + (one.minutes - x) * (one[name] - y), 0);
  const below = samples.reduce((sum, one) => sum + (one.minutes - x) ** 2, 0);
  return below === 0 ? 0 : (60 * above) / below;
}

async function steadyLoad(rig: Rig, minutes: number): Promise<string[]> {
  const { client } = rig.stack;
  const beganAtMs = Date.now();
  const endsAtMs = beganAtMs + minutes * 60_000;
  const problems: string[] = [];
  const samples: Sample[] = [];
  let turns = 0;
  const isOver = (): boolean => Date.now() >= endsAtMs;
  const live = async (userId: string): Promise<void> => {
    for (let number = 0; !isOver(); number += 1) {
      const turn = { userId, turnId: `t${number}` };
      const extra = number % 5 === 0 ? '\n$ seq 5000' : '';
      await client.submitTurn({ ...turn, prompt: `$ echo ${number} >> ~/ran.txt; sleep 0.1${extra}` });
      const { state, errorCode } = await client.turnResult({ ...turn, timeoutMs: TURN_MS_MAX });
      if (state !== 'completed') problems.push(`${userId} ${turn.turnId} ended ${state} ${errorCode ?? ''}`);
      turns += 1;
      if (number % 7 === 6) await client.sleepNow({ userId });
    }
  };
  const watch = async (): Promise<void> => {
    while (!isOver()) {
      samples.push(await sample(rig, beganAtMs, turns));
      await delay((minutes * 60_000) / SAMPLES);
    }
  };
  await Promise.all([watch(), ...Array.from({ length: USERS }, (_, index) => live(`soak-${index}`))]);
  const settled = samples.slice(Math.floor(samples.length * WARM_UP));
  const last = samples.at(-1);
  say(`${turns} turns of ${USERS} users in ${minutes} minutes`);
  for (const name of ['memoryMib', 'descriptors', 'sandboxes', 'zombies', 'tablesMib'] as const) {
    const slope = slopePerHour(settled, name);
    const [from, to] = [settled[0]?.[name] ?? 0, last?.[name] ?? 0];
    say(
      `${name.padEnd(12)} ${from.toFixed(1).padStart(9)} -> ${to.toFixed(1).padStart(9)}, ${slope.toFixed(1)} an hour`,
    );
    if (to - from > (GROWTH_MAX[name] ?? Infinity)) problems.push(`${name} grew by ${(to - from).toFixed(1)}`);
  }
  if ((last?.zombies ?? 0) > (samples[0]?.zombies ?? 0)) problems.push(`${last?.zombies ?? 0} zombies are left`);
  if ((last?.sandboxes ?? 0) > USERS) problems.push(`${last?.sandboxes ?? 0} sandboxes of ${USERS} users`);
  return problems;
}

async function longLife(rig: Rig, turns: number): Promise<string[]> {
  const { client } = rig.stack;
  const userId = 'long-lived';
  const problems: string[] = [];
  const times: number[] = [];
  for (let number = 0; number < turns; number += 1) {
    const turn = { userId, turnId: `t${number}` };
    const beganAtMs = performance.now();
    await client.submitTurn({ ...turn, prompt: `$ echo ${number} >> ~/ran.txt` });
    const { state } = await client.turnResult({ ...turn, timeoutMs: TURN_MS_MAX });
    times.push(performance.now() - beganAtMs);
    if (state !== 'completed') problems.push(`${turn.turnId} ended ${state}`);
  }
  const tenth = Math.max(1, Math.floor(turns / 10));
  const median = (of: readonly number[]): number => of.toSorted((a, b) => a - b)[Math.floor(of.length / 2)] ?? 0;
  // The first tenth holds the creation of the machine; medians do not feel it.
  const [first, last] = [median(times.slice(0, tenth)), median(times.slice(-tenth))];
  const runs = await rig.lanes.runs(userId);
  const lengths = await Promise.all(
    runs.map(async ({ runId }) => {
      const handle = rig.lanes.client.workflow.getHandle(rig.lanes.of(userId).workflowId, runId);
      return (await handle.describe()).historyLength;
    }),
  );
  const most = Math.max(...lengths);
  const events = lengths.reduce((sum, length) => sum + length, 0) / turns;
  if (most > RUN_EVENTS_MAX) problems.push(`a run of the lane has ${most} events`);
  if (last > 2 * first)
    problems.push(`a turn took ${first.toFixed(0)} ms at first and ${last.toFixed(0)} ms in the end`);
  const [row] = await rig.sql<{ id: string }>('select machine_id as id from machines where user_id = $1', [userId]);
  const { homePath } = await rig.stack.emulator.get<MachineTruth>(`/_emulator/machines/${row?.id ?? ''}`);
  const ran = readLines(homePath, 'ran.txt');
  if (ran.length !== turns || ran.some((line, index) => line !== String(index)))
    problems.push(`${ran.length} commands ran`);
  say(`${turns} turns of one user: ${events.toFixed(1)} events a turn in ${runs.length} runs of at most ${most}`);
  say(`median of a turn: ${first.toFixed(0)} ms in the first tenth, ${last.toFixed(0)} ms in the last`);
  return problems;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { minutes: { type: 'string' }, turns: { type: 'string' } } });
  const amount = Number(values.turns ?? values.minutes);
  if (!(amount > 0)) throw new UsageError('Say --minutes M or --turns N.');
  const env = values.turns === undefined ? {} : { IDLE_MS: '600000' };
  const problems = await withRig({ keepsData: false, env }, async (rig) => {
    await Promise.all([rig.stack.startWorker(), rig.stack.startWorker()]);
    return values.turns === undefined ? steadyLoad(rig, amount) : longLife(rig, amount);
  });
  conclude(problems);
}

runProgram(
  main,
  `Usage: npm run soak -- --minutes M | --turns N
  --minutes M  a steady mixed load for so long
  --turns N    so many turns of one user, one after the other`,
);
