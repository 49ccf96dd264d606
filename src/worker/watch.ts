/** How a worker is watched: its metrics and its traces, as what is put around its parts. Where neither is wanted the parts are left as they are. */
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import type { LiveText } from '../activities/live-text.js';
import type { Config } from '../config.js';
import type { Guest } from '../guest/guest.js';
import type { Logger } from '../log.js';
import type { MachineProvider } from '../machines/provider.js';
import type { ChatModel } from '../model/chat-model.js';
import type { CommitListener } from '../store/pool.js';
import { serveMetrics } from '../telemetry/metrics-server.js';
import { startTracing } from '../telemetry/tracing.js';
import { createFigures } from './metrics/figures.js';
import { measureActivities, measureLiveText, measureModel, measureProvider } from './metrics/measure.js';
import { traceActivities, traceGuest, traceModel, traceProvider } from './traces.js';

/** What is put around the parts. */
export interface PartWatch {
  machines(machines: MachineProvider): MachineProvider;
  guest(guest: Guest): Guest;
  model(model: ChatModel): ChatModel;
  live(live: LiveText): LiveText;
  readonly onCommit?: CommitListener;
}

export interface Watch {
  readonly parts: PartWatch;
  readonly activities: ActivityInterceptorsFactory[];
  /** Sends what is left. Never rejects. */
  close(): Promise<void>;
}

/** @throws InnkeeperError PORT_IN_USE */
export async function startWatch({ metrics, tracing }: Config, log: Logger): Promise<Watch> {
  const figures = metrics === undefined ? undefined : createFigures();
  const server = metrics && figures && (await serveMetrics(figures.registry, metrics));
  if (server !== undefined) log.info({ url: server.url }, 'metrics are served');
  const traces = await startTracing(tracing, { service: 'innkeeper-worker', log });
  const isTraced = tracing !== undefined;
  // A span around the measurement: where both are on, they see the same.
  const around = <T>(part: T, measure: ((part: T) => T) | undefined, trace: (part: T) => T): T => {
    const measured = measure === undefined ? part : measure(part);
    return isTraced ? trace(measured) : measured;
  };
  return {
    parts: {
      machines: (machines) => around(machines, figures && ((part) => measureProvider(figures, part)), traceProvider),
      model: (model) => around(model, figures && ((part) => measureModel(figures, part)), traceModel),
      guest: (guest) => (isTraced ? traceGuest(guest) : guest),
      live: (live) => (figures === undefined ? live : measureLiveText(figures, live)),
      ...(figures === undefined ? {} : { onCommit: figures.committed }),
    },
    activities: [
      ...(isTraced ? [traceActivities()] : []),
      ...(figures === undefined ? [] : [measureActivities(figures)]),
    ],
    async close() {
      await Promise.all([traces.close(), server?.close()]);
    },
  };
}
