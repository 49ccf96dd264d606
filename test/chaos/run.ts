/** One run of the fault suite: everything is started, the plan is lived through, all goes quiet, the checks are made. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/dev/paths.js';
import { checkBigOutput } from './checks/big-output.js';
import { checkOneAtATime, checkResults, checkRunsOnce, checkUnknown } from './checks/commands.js';
import { checkEvents } from './checks/events.js';
import { collectEvidence } from './checks/evidence.js';
import { checkForgeries } from './checks/forgeries.js';
import { checkNoLeak, checkOneMachine, checkRevisions } from './checks/machines.js';
import { checkCrossUser, checkPlaintext, checkSwappedIds } from './checks/privacy.js';
import { checkProjections } from './checks/projections.js';
import { checkReplay } from './checks/replay.js';
import { checkTurns } from './checks/turns.js';
import { startFleet } from './fleet.js';
import { writeHistories } from './histories.js';
import { openJournal } from './journal.js';
import { followEvents } from './load/event-reader.js';
import { followOverHttp } from './load/http-follower.js';
import { liveThrough } from './load/person.js';
import { startProjectionFollowers } from './load/projection-followers.js';
import type { Plan } from './plan/plan.js';
import { createRandom } from './plan/random.js';
import { untilQuiet } from './quiet.js';
import { makeReport, type Report } from './report/report.js';
import { withRig } from './rig.js';
import { createContext, type RunContext } from './run-context.js';
import { endEndlessWakes } from './strike/endless-wakes.js';
import { strikeServers } from './strike/server-faults.js';

/** Users who are destroyed live this many at a time, beside the others. */
const SHORT_LIVES_AT_ONCE = 2;
const PROGRESS_MS = 10_000;
/** From here on a run takes minutes, and can afford what takes seconds by itself. */
const LARGE_TURNS = 100;

export interface RunOptions {
  readonly say: (line: string) => void;
  /** Keeps logs and data of the run, and says where. */
  readonly keepsData: boolean;
  /** Recovery times are judged, not only told. */
  readonly judgesTimes: boolean;
  /** Where the history of every workflow is written. */
  readonly historiesDir?: string | undefined;
}

export async function runPlan(plan: Plan, { say, keepsData, judgesTimes, historiesDir }: RunOptions): Promise<Report> {
  const startedAtMs = Date.now();
  const commit = commitOf();
  return withRig({ keepsData }, async (rig) => {
    if (keepsData) say(`data: ${rig.dataDir} and ${rig.stack.dataDir}`);
    const journal = openJournal(join(rig.dataDir, 'outside.jsonl'));
    const progressed = { turnsEnded: 0 };
    const fleet = await startFleet({ plan, rig, journal, turnsEnded: () => progressed.turnsEnded });
    const staying = plan.people.filter(({ isDestroyed }) => !isDestroyed);
    const followers = staying.map(({ userId }) => followOverHttp(rig, rig.gateways, userId));
    const random = createRandom(`${plan.seed}/readers`);
    const projections = startProjectionFollowers(rig, random.branch('projections'));
    const context = createContext({ plan, rig, journal, fleet, followers, projections, progressed });
    const readers = [
      ...plan.people.map(({ userId }) => followEvents(rig, userId, random.branch(userId))),
      ...followers,
    ];
    const stopEnding = endEndlessWakes(rig);
    const progress = setInterval(() => say(progressOf(context)), PROGRESS_MS);
    try {
      await live(context);
    } finally {
      clearInterval(progress);
    }
    await fleet.disarm();
    await untilQuiet(context);
    stopEnding();
    await Promise.all([...readers, projections].map((reader) => reader.finish()));
    const evidence = await collectEvidence({ plan, rig, journal, readers });
    // Those that found nothing to strike are not to strike what the checks themselves do.
    await rig.stack.emulator.call('DELETE', '/_emulator/faults');
    // These read only, each from somewhere else.
    const reading = await Promise.all([
      checkCrossUser(evidence, rig),
      checkEvents(evidence, rig),
      checkPlaintext(evidence, rig),
      checkReplay(rig),
      checkSwappedIds(evidence, rig),
    ]);
    const checks = [
      checkTurns(evidence),
      checkRunsOnce(evidence),
      checkResults(evidence),
      checkUnknown(evidence),
      checkOneMachine(evidence),
      checkNoLeak(evidence),
      checkRevisions(evidence),
      checkOneAtATime(evidence),
      checkProjections(evidence, projections, context.heardCalls),
      ...reading,
      await checkForgeries(rig),
      ...(plan.turns < LARGE_TURNS ? [] : [await checkBigOutput(context, judgesTimes)]),
    ];
    if (historiesDir !== undefined) await writeHistories(rig, historiesDir);
    return makeReport({ evidence, checks, commit, startedAtMs, judgesTimes });
  });
}

async function live(context: RunContext): Promise<void> {
  const { people } = context.plan;
  let isOver = false;
  const servers = strikeServers(context, () => isOver);
  const shortLived = people.filter(({ isDestroyed }) => isDestroyed);
  const queue = [...shortLived];
  const oneAfterTheOther = async (): Promise<void> => {
    for (let user = queue.shift(); user !== undefined; user = queue.shift()) await liveThrough(context, user);
  };
  try {
    await Promise.all([
      ...people.filter(({ isDestroyed }) => !isDestroyed).map((user) => liveThrough(context, user)),
      ...Array.from({ length: SHORT_LIVES_AT_ONCE }, oneAfterTheOther),
    ]);
  } finally {
    isOver = true;
    await servers;
  }
}

function progressOf({ progressed, journal }: RunContext): string {
  return `${progressed.turnsEnded} turns, ${journal.strikes.length} strikes beside those of the wire, ${journal.complaints.length} complaints`;
}

function commitOf(): string {
  try {
    const args = ['-C', PROJECT_ROOT, 'rev-parse', '--short', 'HEAD'];
    return execFileSync('git', args, { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown'; // An unpacked release has no history.
  }
}
