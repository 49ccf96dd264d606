/**
 * `throughput`: many users at once, each with one turn after another, no model delay, everything on this machine; with the CPU that
 * each process took. Beside it the plain handler under the same load.
 */
import { cpus } from 'node:os';
import { scaled, type Benchmark, type BenchmarkContext } from './benchmark.js';
import { timed } from './pairs.js';
import { readCpu, type CpuTime } from './processes.js';
import { withRig, type Rig } from './rig.js';
import { median, summarize, toText } from './statistics.js';

const ROUNDS = 3;
const USERS = 40;
const TURNS_EACH = 10;
const PROMPT = 'Please run:\n$ echo done';
const MS_PER_S = 1_000;

/** Turns a second when everybody's turns run side by side. */
async function load(users: number, turn: (user: number) => Promise<unknown>): Promise<number> {
  const tookMs = await timed(() =>
    Promise.all(
      Array.from({ length: users }, async (_, user) => {
        for (let count = 0; count < TURNS_EACH; count += 1) await turn(user);
      }),
    ),
  );
  return (users * TURNS_EACH * MS_PER_S) / tookMs;
}

export const throughput: Benchmark = {
  name: 'throughput',
  title: `${USERS} users x ${TURNS_EACH} one-command turns, no model delay, everything on one machine`,
  targets: { turns_per_s: { min: 15 } },
  run: (context) =>
    withRig(context, { modelDelayMs: 0 }, async (rig) => {
      const users = scaled(context, USERS, 4);
      const name = (user: number): string => `guest-${user}`;
      const sessions = await Promise.all(Array.from({ length: users }, () => rig.handler.createSession()));
      const bareTurn = (user: number): Promise<unknown> => {
        const session = sessions[user];
        if (session === undefined) throw new Error('every user has a session');
        return rig.handler.handle(session, PROMPT);
      };
      await Promise.all(sessions.map((_, user) => rig.runTurn(name(user), PROMPT)));
      await Promise.all(sessions.map((_, user) => bareTurn(user)));
      const durable: number[] = [];
      const bare: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        bare.push(await load(users, bareTurn));
        durable.push(
          await withCpu(rig, users * TURNS_EACH, context, () => load(users, (user) => rig.runTurn(name(user), PROMPT))),
        );
      }
      context.say(`durable, turns/s  ${toText(summarize(durable))}`);
      context.say(`bare, turns/s     ${toText(summarize(bare))}`);
      return { turns_per_s: median(durable) };
    }),
};

/** Runs a load and prints what each process took of the processors meanwhile. */
async function withCpu(
  rig: Rig,
  turns: number,
  context: BenchmarkContext,
  work: () => Promise<number>,
): Promise<number> {
  const pids = { ...rig.pids, bench: process.pid };
  const before = readCpu(pids);
  const startedAt = performance.now();
  const rate = await work();
  const tookMs = performance.now() - startedAt;
  const after = readCpu(pids);
  const spent = (name: string, kind: keyof CpuTime): number => (after[name]?.[kind] ?? 0) - (before[name]?.[kind] ?? 0);
  const parts: Record<string, number> = {
    worker: spent('worker', 'own'),
    temporal: spent('temporal', 'own'),
    postgres: spent('postgres', 'own') + spent('postgres', 'children'),
    emulator: spent('emulator', 'own'),
    sandboxes: spent('emulator', 'children'),
    'backend (this process)': spent('bench', 'own'),
  };
  const total = Object.values(parts).reduce((sum, ms) => sum + ms, 0);
  const line = (name: string, ms: number): string =>
    `  ${name.padEnd(22)} ${(ms / turns).toFixed(1).padStart(6)} ms a turn  ${((ms / tookMs) * 100).toFixed(0).padStart(4)} % of one processor`;
  context.say(`${rate.toFixed(1)} turns/s on ${cpus().length} processors; CPU:`);
  for (const [name, ms] of [...Object.entries(parts), ['all', total] as const]) context.say(line(name, ms));
  return rate;
}
