/** CPU and memory of processes, children included, by /proc. */
import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts CPU time for its readers in hundredths of a second, whatever the kernel's own clock. */
const MS_PER_TICK = 10;
const BYTES_PER_PAGE = 4_096;
/** Positions in /proc/PID/stat behind the name: state is 0. */
const FIELD = {
  state: 0,
  parent: 1,
  session: 3,
  userTime: 11,
  systemTime: 12,
  childUser: 13,
  childSystem: 14,
} as const;

interface Stat {
  readonly pid: number;
  readonly fields: readonly string[];
}

function readStat(pid: number): Stat | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return { pid, fields: line.slice(line.lastIndexOf(')') + 2).split(' ') };
  } catch {
    return undefined; // It ended meanwhile.
  }
}

function readAll(): Stat[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readStat(Number(name)) ?? []);
}

const field = (stat: Stat, name: keyof typeof FIELD): number => Number(stat.fields[FIELD[name]]);

/** The process and all that descend from it. */
function treeOf(root: number, stats: readonly Stat[]): Stat[] {
  const tree = stats.filter((stat) => stat.pid === root);
  // Grows while it is walked: children are found behind their parents.
  for (const { pid } of tree) tree.push(...stats.filter((stat) => field(stat, 'parent') === pid));
  return tree;
}

export interface CpuTime {
  /** The process alone, ms. */
  readonly own: number;
  /** Its descendants, those that have ended included, ms. */
  readonly children: number;
}

/** CPU time so far of each named process. */
export function readCpu(pids: Readonly<Record<string, number>>): Record<string, CpuTime> {
  const stats = readAll();
  return Object.fromEntries(
    Object.entries(pids).map(([name, pid]) => {
      let own = 0;
      let children = 0;
      for (const stat of treeOf(pid, stats)) {
        const ticks = field(stat, 'userTime') + field(stat, 'systemTime');
        if (stat.pid === pid) own += ticks;
        else children += ticks;
        // Whoever ended is counted by the one that waited for it.
        children += field(stat, 'childUser') + field(stat, 'childSystem');
      }
      return [name, { own: own * MS_PER_TICK, children: children * MS_PER_TICK }];
    }),
  );
}

/** Resident memory of one process, bytes. */
export function readRssBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * BYTES_PER_PAGE;
}

/** The process whose command line is exactly this. */
export function findByCommand(argv: readonly string[]): number | undefined {
  const wanted = `${argv.join('\0')}\0`;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8') === wanted;
      } catch {
        return false; // It ended meanwhile.
      }
    });
}

/** All processes of a process's group or session, itself included: a command of the agent is one session. */
export function sessionOf(pid: number): number[] {
  const leader = readStat(pid);
  if (leader === undefined) return [];
  const session = field(leader, 'session');
  return readAll()
    .filter((stat) => field(stat, 'session') === session)
    .map((stat) => stat.pid);
}

/** True until it has ended; a zombie has. */
export function isAlive(pid: number): boolean {
  const state = readStat(pid)?.fields[FIELD.state];
  return state !== undefined && state !== 'Z' && state !== 'X';
}
