/** A worker with the real workflows and scripted activities on the shared Temporal server, and lanes and reconciles to try them with. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import {
  DefaultLogger,
  NativeConnection,
  Runtime,
  Worker,
  bundleWorkflowCode,
  type WorkflowBundle,
} from '@temporalio/worker';
import { laneWorkflowId, reconcileWorkflowId, USER_MACHINE_WORKFLOW } from '../../../src/contracts/ids.js';
import type { LaneState } from '../../../src/contracts/lane-state.js';
import { laneSinks } from '../../../src/worker/traces.js';
import { uninterrupted } from '../../../src/worker/uninterrupted.js';
import { waitFor } from '../../support/wait-for.js';
import { nameOf, readHistory, type HistoryEvent } from './history.js';
import { LaneRecord, type TurnRecord } from './lane-record.js';
import { createTestReconcile, type TestReconcile } from './reconcile-harness.js';
import { createScriptedReconcile } from './reconcile-script.js';
import { allRunsOf, settled, type Recordable } from './runs.js';
import { createScriptedActivities } from './scripted-activities.js';

const fromHere = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const WORKFLOWS = fromHere('../../../src/workflows/index.ts');
const CONVERTER = fromHere('../../../src/workflows/payload-converter.ts');

/** Bundles workflow code, by default the project's own, as the build does: with the interceptors that lie beside it. */
export async function bundleWorkflows(
  workflowsPath: string = WORKFLOWS,
  payloadConverterPath: string = CONVERTER,
  workflowInterceptorModules: string[] = [join(dirname(workflowsPath), 'trace-headers.ts')],
) {
  const logger = new DefaultLogger('ERROR');
  return await bundleWorkflowCode({ workflowsPath, payloadConverterPath, workflowInterceptorModules, logger });
}

let ownBundle: Promise<WorkflowBundle> | undefined;
/** The project's own, made once in a process: files share it, and it takes longer than most of them. */
function bundleOwn(): Promise<WorkflowBundle> {
  return (ownBundle ??= bundleWorkflows());
}

export interface TestLane extends Recordable {
  readonly record: LaneRecord;
  /** The lane's newest run. */
  readonly handle: WorkflowHandle;
  /** Admits a turn and signals the lane, starting it where it does not run. */
  submit(turnId: string, plan?: readonly (readonly string[])[]): Promise<TurnRecord>;
  /** Starts the lane with nothing to do; answers its first run id. */
  start(...args: unknown[]): Promise<string>;
  /** Signal-with-start, as a backend in any language sends it. */
  send(signal: string, ...args: unknown[]): Promise<string>;
  state(): Promise<LaneState>;
  /** Waits until the turn is over. */
  ended(turnId: string): Promise<TurnRecord>;
  /** Waits until the lane says so of itself. */
  reaches(what: string, condition: (state: LaneState) => boolean): Promise<LaneState>;
  /** Waits until no turn runs or waits, and the lane has taken note of it. */
  rests(): Promise<LaneState>;
  events(runId?: string): Promise<HistoryEvent[]>;
  /** Events of every run from the one given on, along continue-as-new. */
  chain(firstRunId: string): Promise<HistoryEvent[][]>;
}

export interface LaneHarness {
  readonly client: Client;
  readonly taskQueue: string;
  newLane(settings?: Partial<LaneRecord['settings']>): TestLane;
  newReconcile(): TestReconcile;
  /** A lane whose machine is ready and which has nothing to do, one turn being over. */
  warmLane(settings?: Partial<LaneRecord['settings']>): Promise<TestLane>;
  /** A deploy: ends the worker as SIGTERM does, then starts one with other workflow code. */
  deploy(workflowBundle: WorkflowBundle): Promise<void>;
  /** Everything that should not have happened so far, of every lane. */
  violations(): string[];
  /**
   * Ends the worker and every lane, then replays all that they did: whatever order things came in, the workflow has to take the same
   * way again, by the code that was deployed last. @throws where it does not
   */
  close(): Promise<void>;
}

let harnesses = 0;

export async function startLaneHarness(
  address: string,
  options: { readonly taskQueue?: string; readonly identity?: string } = {},
): Promise<LaneHarness> {
  harnesses += 1;
  const { taskQueue = `lanes-${process.pid}-${harnesses}`, identity = 'test' } = options;
  const lanes: TestLane[] = [];
  const records = new Map<string, LaneRecord>();
  const reconciles: TestReconcile[] = [];
  if (harnesses === 1) Runtime.install({ logger: new DefaultLogger('ERROR') });
  const [connection, native, bundle] = await Promise.all([
    Connection.connect({ address }),
    NativeConnection.connect({ address }),
    bundleOwn(),
  ]);
  const client = new Client({ connection, identity });

  async function startWorker(
    workflowBundle: WorkflowBundle,
  ): Promise<{ bundle: WorkflowBundle; end(): Promise<void> }> {
    const worker = await Worker.create({
      connection: native,
      taskQueue,
      identity,
      workflowBundle,
      activities: {
        ...createScriptedActivities((workflowId) => records.get(workflowId)),
        ...createScriptedReconcile((workflowId) => reconciles.find((one) => one.workflowId === workflowId)?.script),
      },
      sinks: laneSinks(),
      ...uninterrupted,
      stickyQueueScheduleToStartTimeout: '3s',
      maxCachedWorkflows: 100,
      shutdownForceTime: '10s',
    });
    const running = worker.run();
    const end = async (): Promise<void> => {
      worker.shutdown();
      await running;
    };
    return { bundle: workflowBundle, end };
  }
  let worker = await startWorker(bundle);

  function newLane(settings: Partial<LaneRecord['settings']> = {}): TestLane {
    const workflowId = laneWorkflowId(`u${records.size + 1}-${taskQueue}`);
    const record = new LaneRecord();
    Object.assign(record.settings, settings);
    records.set(workflowId, record);
    const lane = createTestLane({ client, taskQueue, workflowId, record });
    lanes.push(lane);
    return lane;
  }

  return {
    client,
    taskQueue,
    newLane,
    newReconcile() {
      const workflowId = reconcileWorkflowId(taskQueue, String(reconciles.length + 1));
      const reconcile = createTestReconcile({ client, taskQueue, workflowId });
      reconciles.push(reconcile);
      return reconcile;
    },
    async warmLane(settings) {
      const lane = newLane(settings);
      await lane.submit('first', [['bash']]);
      await lane.ended('first');
      await lane.rests();
      return lane;
    },
    async deploy(workflowBundle) {
      await worker.end();
      worker = await startWorker(workflowBundle);
    },
    violations: () => [...records.values()].flatMap(({ violations }) => violations),
    async close() {
      // The worker first: a lane that is terminated in mid task would leave it with an answer that nobody takes.
      await worker.end();
      // A lane that has ended by itself has nothing to terminate.
      await Promise.all(lanes.map(({ handle }) => handle.terminate('test is over').catch(() => undefined)));
      await replayAll(worker.bundle, [...lanes, ...reconciles], client);
      await Promise.all([connection.close(), native.close()]);
    },
  };
}

async function replayAll(
  workflowBundle: WorkflowBundle,
  workflows: readonly Recordable[],
  client: Client,
): Promise<void> {
  const found = await Promise.all(
    workflows.map(async ({ workflowId, allRuns }) =>
      Promise.all(
        (await allRuns()).map(async (runId) => ({
          workflowId,
          history: await client.workflow.getHandle(workflowId, runId).fetchHistory(),
        })),
      ),
    ),
  );
  // A run that ended before its first task did nothing that could be replayed.
  const histories = found
    .flat()
    .filter(({ history }) => (history.events ?? []).some((event) => nameOf(event) === 'workflowTaskCompleted'));
  const refused: string[] = [];
  for await (const { error, workflowId } of Worker.runReplayHistories({ workflowBundle }, histories)) {
    if (error !== undefined) refused.push(`${workflowId}: ${error.message}`);
  }
  if (refused.length > 0)
    throw new Error(`of ${histories.length} histories these do not replay: ${refused.join('; ')}`);
}

function createTestLane(parts: {
  client: Client;
  taskQueue: string;
  workflowId: string;
  record: LaneRecord;
}): TestLane {
  const { client, taskQueue, workflowId, record } = parts;
  const handle = client.workflow.getHandle(workflowId);
  /** First runs: of a start, a signal-with-start, or a reset. */
  const roots: string[] = [];
  const noteRoot = (runId: string): string => {
    if (!roots.includes(runId)) roots.push(runId);
    return runId;
  };

  async function send(signal: string, ...signalArgs: unknown[]): Promise<string> {
    const started = await client.workflow.signalWithStart(USER_MACHINE_WORKFLOW, {
      workflowId,
      taskQueue,
      signal,
      signalArgs,
    });
    return noteRoot(started.signaledRunId);
  }
  const reaches = (what: string, condition: (now: LaneState) => boolean): Promise<LaneState> =>
    waitFor(what, async () => {
      const now = await state();
      return condition(now) ? now : undefined;
    });
  const state = (): Promise<LaneState> => handle.query<LaneState>('getState');
  const events = (runId?: string): Promise<HistoryEvent[]> => readHistory(client, workflowId, runId);

  return {
    workflowId,
    record,
    handle,
    send,
    state,
    events,
    async start(...args) {
      record.userState = 'active';
      const started = await client.workflow.start(USER_MACHINE_WORKFLOW, { workflowId, taskQueue, args });
      return noteRoot(started.firstExecutionRunId);
    },
    async submit(turnId, plan) {
      const turn = record.admit(turnId, plan);
      const { turnKey, position } = turn;
      await send('enqueueTurn', { turnId, admitted: { turnKey, position } });
      return turn;
    },
    ended: (turnId) =>
      waitFor(`the end of turn ${turnId} (${JSON.stringify(record.effects())})`, () => {
        const turn = record.find(turnId);
        return turn !== undefined && turn.state !== 'queued' && turn.state !== 'running' ? turn : undefined;
      }),
    reaches,
    rests: () =>
      reaches('rest', ({ turn, turnCount }) => {
        const { openTurns, executions } = record;
        return (
          turn === null &&
          openTurns.length === 0 &&
          turnCount === record.turnCount &&
          executions.every(({ isOver }) => isOver)
        );
      }),
    allRuns: () => allRunsOf(client, handle, roots),
    settles: () => settled(client, handle),
    async chain(firstRunId) {
      const runs: HistoryEvent[][] = [];
      for (let runId: string | null | undefined = firstRunId; runId;) {
        const run = await events(runId);
        runs.push(run);
        runId = run.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId;
      }
      return runs;
    },
  };
}
