/** What the store's tests share: a database with a pool, and a lane that plays its calls in order. */
import { expect } from 'vitest';
import type { OpenNextTurnResult, OpenTurn, ThinkResult } from '../../../src/contracts/activities.js';
import { admitTurn, type AdmittedTurn } from '../../../src/store/admission.js';
import { requireLane } from '../../../src/store/lane.js';
import { beginProvision, setPhase, type MachineRow } from '../../../src/store/machines.js';
import { openNextTurn } from '../../../src/store/next-turn.js';
import { createPool, withTransaction, type Store } from '../../../src/store/pool.js';
import { beginStep, storeAnswer, type NewCall, type StoreAnswerOptions } from '../../../src/store/steps.js';
import { closeTurn, getTurn } from '../../../src/store/turns.js';
import { createTestDatabase } from '../../support/servers.js';

export const text = expect.any(String) as string;

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
  /** One model call that answers with these calls, or with the turn's end. */
  answer(
    turn: OpenTurn,
    step: number,
    calls: readonly NewCall[],
    more?: Partial<StoreAnswerOptions>,
  ): Promise<ThinkResult>;
  /** Ends a running turn as failed. */
  close(turnId: string): Promise<boolean>;
}

export const DEFAULTS = { idleMs: 300_000, stepsMax: 50, wallMs: 1_800_000 };
export const SIZE = { vcpu: 1, memoryMib: 2_048, storageGib: 10 };

export function bash(command: string): NewCall {
  return { callId: `call-${command}`, tool: 'bash', argumentsJson: JSON.stringify({ command }), title: command };
}

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
    answer: async ({ turnKey }, step, calls, more = {}) => {
      const begun = await beginStep(store, { workflowId, runId, turnKey, step });
      if (begun.kind !== 'begin') throw new Error(`expected the step to begin, it is ${begun.kind}`);
      return await storeAnswer(store, {
        ...{ workflowId, runId, turnKey, step, try: begun.try, calls },
        answer: {
          text: `answer ${step}`,
          finish: 'stop',
          model: 'test-model',
          usage: { inputTokens: 10, outputTokens: 2 },
        },
        close: calls.length === 0 ? { outcome: 'completed', code: null } : null,
        ...more,
      });
    },
    close: async (turnId) => {
      const { turnKey } = await getTurn(store, { userId, turnId });
      return await withTransaction(store, async (tx) => {
        const user = await requireLane(tx, lane);
        return await closeTurn(tx, { user, turnKey, outcome: 'failed', code: 'INTERNAL' });
      });
    },
  };
  return lane;
}

let keys = 0;
export const newKey = (): string => `key-${(keys += 1)}`;

/** Gives the lane's user a machine in phase `ready`, booted as `boot-1`. */
export async function makeReady(store: Store, lane: TestLane, machineId = `m-${lane.userId}`): Promise<MachineRow> {
  const begun = await beginProvision(store, { ...lane, size: SIZE, newKey, newNonce: newKey });
  const { generation } = begun.row;
  const fields = { machineId: `${machineId}-${generation}`, bootId: 'boot-1', home: '/root' };
  return (await setPhase(store, { ...lane, generation, phase: 'ready', fields })).row;
}
