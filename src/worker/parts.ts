/** Makes the parts of a worker from its settings, and the activities from the parts. */
import { randomBytes } from 'node:crypto';
import { createActivities, createGuests, createKeepAwake, toLogged, type Activities } from '../activities/index.js';
import type { Config } from '../config.js';
import { InnkeeperError } from '../contracts/errors.js';
import type { Lanes } from '../contracts/lanes.js';
import { createGuest } from '../guest/create-guest.js';
import type { Logger } from '../log.js';
import { createDedalusProvider } from '../machines/dedalus/provider.js';
import { newIdempotencyKey as newKey } from '../machines/idempotency-key.js';
import { createChatModel } from '../model/dedalus-chat.js';
import { loadSystemPromptTemplate } from '../model/system-prompt.js';
import { appendDeltas } from '../store/deltas.js';
import { isMigrated } from '../store/migrate.js';
import { createPool } from '../store/pool.js';
import { createFaultPoints } from './fault-points.js';
import type { PartWatch } from './watch.js';

/** Added to the turn limit and the idle time, so that the provider's own sleep comes after anything of ours. */
const AUTOSLEEP_MARGIN_MS = 5 * 60_000;
/** Falling asleep and answering the first command are quick where they work at all. */
const SLEEP_TIMEOUT_MS = 60_000;
const ANSWER_TIMEOUT_MS = 60_000;
/** An empty disk is looked at for so long before it is taken for a lost one. */
const DISK_TIMEOUT_MS = 15_000;
const NONCE_BYTES = 16;
/** Connections for live text: a batch takes a millisecond or two. */
const LIVE_POOL_MAX = 2;
/** What a start waits for the provider at most. */
const SETTLE_MS_MAX = 5_000;

export interface WorkerParts {
  /** Made once Temporal is connected: lanes are reached through it. */
  activities(lanes: Lanes): Activities;
  /**
   * Looks, before any work is taken, whether the record can be kept. A provider that is away is no reason not to start.
   * @throws InnkeeperError STORE_UNAVAILABLE, STORE_NOT_MIGRATED
   */
  assertReady(): Promise<void>;
  close(): Promise<void>;
}

/** @throws InnkeeperError SETTINGS_INVALID (the system prompt's file) */
export function createParts(config: Config, log: Logger, watch: PartWatch): WorkerParts {
  const { machines: machineSettings, model: modelSettings, turn } = config;
  const systemPrompt = loadSystemPromptTemplate(modelSettings.systemPromptFile);
  const points = createFaultPoints(config.worker.faultPoint);
  const store = points.store(
    createPool({
      url: config.database.url,
      poolMax: config.database.poolMax,
      applicationName: 'innkeeper-worker',
      ...(watch.onCommit === undefined ? {} : { onCommit: watch.onCommit }),
    }),
  );
  // Of its own, so that it takes no connection from what a turn waits for.
  const liveStore = createPool({
    url: config.database.url,
    poolMax: LIVE_POOL_MAX,
    applicationName: 'innkeeper-worker-live',
    mayLoseCommits: true,
  });
  const machines = watch.machines(
    createDedalusProvider({
      ...machineSettings,
      newKey,
      log: log.child({ part: 'machines' }),
    }),
  );
  const guest = points.guest(watch.guest(createGuest({ machines, newKey })));
  const guests = createGuests({ guest, log });
  const model = watch.model(
    createChatModel({
      baseUrl: modelSettings.baseUrl,
      apiKey: modelSettings.apiKey,
      model: modelSettings.name,
      requestTimeoutMs: modelSettings.requestTimeoutMs,
      firstDeltaTimeoutMs: modelSettings.firstDeltaTimeoutMs,
      extraBody: modelSettings.extraBody,
    }),
  );
  const createAll = (lanes: Lanes): Activities =>
    createActivities({
      store,
      log,
      machines: points.port('machines', machines),
      lanes: points.port('lanes', lanes),
      guest,
      guests,
      model: points.port('model', model),
      live: watch.live({ append: (said) => appendDeltas(liveStore, said) }),
      systemPrompt,
      contextBytesMax: modelSettings.contextBytesMax,
      keepAwake: createKeepAwake({ machines, intervalMs: machineSettings.keepAwakeMs, newKey, log }),
      defaults: { idleMs: turn.idleMs, stepsMax: turn.stepsMax, wallMs: turn.wallMs },
      openTurnsMax: turn.openTurnsMax,
      hidesUserIds: config.workflowIdKey !== undefined,
      size: machineSettings.size,
      autosleepSeconds: Math.ceil((turn.wallMs + turn.idleMs + AUTOSLEEP_MARGIN_MS) / 1_000),
      polls: {
        pollMs: machineSettings.pollMs,
        createTimeoutMs: machineSettings.createTimeoutMs,
        wakeTimeoutMs: machineSettings.wakeTimeoutMs,
        sleepTimeoutMs: SLEEP_TIMEOUT_MS,
        answerTimeoutMs: ANSWER_TIMEOUT_MS,
        diskTimeoutMs: DISK_TIMEOUT_MS,
      },
      reconcile: {
        isAccountDedicated: config.reconcile.providerAccount === 'dedicated',
        graceMs: config.reconcile.graceMs,
        quietMs: config.reconcile.quietMs,
        idleMs: turn.idleMs,
      },
      newKey,
      newNonce: () => randomBytes(NONCE_BYTES).toString('hex'),
    });
  return {
    activities: (lanes) => points.activities(createAll(lanes)),
    async assertReady() {
      if (!(await isMigrated(store))) {
        throw new InnkeeperError('STORE_NOT_MIGRATED', 'The schema of the database is older than this release.');
      }
      // What is known from the start spares a later step the question; provisioning asks again where this fails.
      await machines.settle(AbortSignal.timeout(SETTLE_MS_MAX)).catch((error: unknown) => {
        log.warn({ err: toLogged(error) }, 'the machine provider does not answer yet');
      });
    },
    async close() {
      await guests.closeAll();
      await Promise.all([store.end(), liveStore.end()]);
    },
  };
}
