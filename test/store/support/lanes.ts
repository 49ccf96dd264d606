/** What the store's tests share: a database with a pool, and a lane that plays its calls in order. */
import { expect } from 'vitest';
import type { OpenNextTurnResult, OpenTurn } from '../../../src/contracts/activities.js';
import { admitTurn, type AdmittedTurn } from '../../../src/store/admission.js';
import { openNextTurn } from '../../../src/store/next-turn.js';
import { createPool, type Store } from '../../../src/store/pool.js';
import { createTestDatabase } from '../../support/servers.js';

export const text = expect.any(String) as string;
export const number = expect.any(Number) as number;

export interface TestStore {
  readonly store: Store;
  readonly url: string;
  close(): Promise<void>;
}

export async function openStore(): Promise<TestStore> {
  const database = await createTestDatabase();
  const store = createPool({ url: database.url, poolMax: 10, applicationName: 'test' });
  return {
    store,
    url: database.url,
    close: async () => {
      await store.end();
      await database.drop();
    },
  };
}

export interface TestLane {
  readonly userId: string;
  readonly workflowId: string;
  readonly runId: string;
  admit(turnId: string, prompt?: string): Promise<AdmittedTurn>;
  /** Contact at the first call, ownership required after it. */
  open(): Promise<OpenNextTurnResult>;
  /** Admits and opens a turn, which must then run. */
  run(turnId: string, prompt?: string): Promise<OpenTurn>;
}

export const DEFAULTS = { idleMs: 300_000, stepsMax: 50, wallMs: 1_800_000 };

/** A lane's run; nothing is written yet. */
export function openLane(store: Store, userId: string, runId = 'run-1'): TestLane {
  const workflowId = `user-machine/${userId}`;
  let isContact = true;
  const lane: TestLane = {
    userId,
    workflowId,
    runId,
    admit: (turnId, prompt = 'hello') => admitTurn(store, { userId, workflowId, turnId, prompt, openTurnsMax: 20 }),
    open: async () => {
      const opened = await openNextTurn(store, { workflowId, runId, isContact, defaults: DEFAULTS });
      isContact = false;
      return opened;
    },
    run: async (turnId, prompt) => {
      await lane.admit(turnId, prompt);
      const { turn } = await lane.open();
      if (turn?.turnId !== turnId) throw new Error(`expected turn ${turnId}, got ${turn?.turnId ?? 'none'}`);
      return turn;
    },
  };
  return lane;
}
