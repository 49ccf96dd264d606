/** What the parts of a run share. */
import { findCommand, readLines } from '../../src/story/record/guest-record.js';
import type { RunJournal } from './journal.js';
import { EFFECTS_FILE } from './plan/expectation.js';
import type { Plan } from './plan/plan.js';
import type { Rig } from './rig.js';
import { surely } from './surely.js';
import type { Fleet } from './fleet.js';

/** A machine as it is, whatever the API says about it. */
export interface MachineTruth {
  readonly machineId: string;
  readonly phase: string;
  readonly homePath: string;
  readonly lostHomes: readonly string[];
  readonly initPid: number | null;
  readonly hasSnapshot: boolean;
}

export interface RunContext {
  readonly plan: Plan;
  readonly rig: Rig;
  readonly journal: RunJournal;
  readonly fleet: Fleet;
  /** Turns that have ended so far. */
  readonly progressed: { turnsEnded: number };
  /** The user's live machine, by Postgres and the emulator's own word. */
  machine(userId: string): Promise<MachineTruth | undefined>;
  /** A command has written its line and has no end in the guest's journal yet. */
  isRunning(userId: string, commandId: string): Promise<boolean>;
}

export function createContext(of: {
  plan: Plan;
  rig: Rig;
  journal: RunJournal;
  fleet: Fleet;
  progressed: { turnsEnded: number };
}): RunContext {
  const { rig } = of;
  async function machine(userId: string): Promise<MachineTruth | undefined> {
    const [row] = await rig.sql<{ id: string | null }>(
      `select machine_id as id from machines where user_id = $1 and phase <> 'destroyed'`,
      [userId],
    );
    if (row?.id === undefined || row.id === null) return undefined;
    const path = `/_emulator/machines/${row.id}`;
    return surely(() => rig.stack.emulator.get<MachineTruth>(path));
  }
  return {
    ...of,
    machine,
    async isRunning(userId, commandId) {
      const truth = await machine(userId);
      if (truth?.initPid === undefined || truth.initPid === null) return false;
      if (!readLines(truth.homePath, EFFECTS_FILE).some((line) => line.startsWith(`${commandId} `))) return false;
      const [call] = await rig.sql<{ id: string }>(
        `select c.cmd_id as id from tool_calls c join turns t using (turn_key)
         where t.user_id = $1 and c.arguments_json like $2 and c.outcome is null`,
        [userId, `%${commandId} %`],
      );
      return call !== undefined && findCommand(truth.homePath, call.id)?.endedAtMs === null;
    },
  };
}
