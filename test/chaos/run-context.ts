/** What the parts of a run share. */
import { isJournalledRunning } from '../../src/story/record/guest-record.js';
import type { RunJournal } from './journal.js';
import type { HttpFollower } from './load/http-follower.js';
import type { HeardCall } from './load/mcp-caller.js';
import type { ProjectionFollowers } from './load/projection-followers.js';
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
  /** Over HTTP, one of each user who stays. */
  readonly followers: readonly HttpFollower[];
  /** By the protocols of other people's clients. */
  readonly projections: ProjectionFollowers;
  /** Results of calls by MCP. */
  readonly heardCalls: HeardCall[];
  /** Turns that have ended so far. */
  readonly progressed: { turnsEnded: number };
  /** The user's live machine, by Postgres and the emulator's own word. */
  machine(userId: string): Promise<MachineTruth | undefined>;
  /** The tool call that carries out a command, while it runs by the guest's own journal. */
  isRunning(userId: string, commandId: string): Promise<boolean>;
}

export function createContext(of: {
  plan: Plan;
  rig: Rig;
  journal: RunJournal;
  fleet: Fleet;
  followers: readonly HttpFollower[];
  projections: ProjectionFollowers;
  progressed: { turnsEnded: number };
}): RunContext {
  const { rig } = of;
  /** By machine; they do not move. */
  const homes = new Map<string, string>();
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
    heardCalls: [],
    machine,
    async isRunning(userId, commandId) {
      const [call] = await rig.sql<{ id: string; machineId: string }>(
        `select c.cmd_id as id, m.machine_id as "machineId"
         from turns t join tool_calls c using (turn_key) join machines m on m.user_id = t.user_id and m.phase <> 'destroyed'
         where t.user_id = $1 and t.state = 'running' and c.submitted_at is not null and c.outcome is null
           and c.arguments_json like $2`,
        [userId, `%${commandId} %`],
      );
      if (call === undefined) return false;
      const homePath = homes.get(call.machineId) ?? (await machine(userId))?.homePath ?? '';
      homes.set(call.machineId, homePath);
      return isJournalledRunning(homePath, call.id);
    },
  };
}
