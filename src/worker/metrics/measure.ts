/** Watches the worker's parts for their figures, from outside: none of them knows, and what they answer or throw goes on unchanged. */
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import type { LiveText } from '../../activities/live-text.js';
import type { ProviderPage, ReconcileRef, UserPage } from '../../contracts/reconcile.js';
import type { MachineProvider } from '../../machines/provider.js';
import type { ChatAnswer, ChatModel } from '../../model/chat-model.js';
import { codeOf } from '../../telemetry/spans.js';
import { leadCalls } from '../lead.js';
import { quietly, type Figures, type Result } from './figures.js';

interface End<T> {
  readonly result: Result;
  readonly seconds: number;
  /** Where the result is `ok`. */
  readonly value?: T;
}

/** Does something and tells how it ended and how long it took; what `tell` throws is lost. */
async function timed<T>(work: () => Promise<T>, tell: (end: End<T>) => void): Promise<T> {
  const told = quietly(tell);
  const beganAt = performance.now();
  const seconds = (): number => (performance.now() - beganAt) / 1_000;
  let value: T;
  try {
    value = await work();
  } catch (error) {
    told({ result: codeOf(error), seconds: seconds() });
    throw error;
  }
  told({ result: 'ok', seconds: seconds(), value });
  return value;
}

export function measureActivities(figures: Figures): ActivityInterceptorsFactory {
  return ({ info }) => ({
    inbound: {
      execute: (input, next) =>
        timed(
          () => next(input),
          ({ value, ...end }) => {
            const { activityType: activity, scheduledTimestampMs } = info;
            figures.activityEnded({ activity, ...end });
            if (end.result !== 'ok') return;
            // The server's clock and ours: near enough for what takes seconds.
            if (activity === 'wakeMachine') figures.woken((Date.now() - scheduledTimestampMs) / 1_000);
            if (activity === 'reconcileProvider' || activity === 'reconcileUsers') {
              if ((input.args[0] as ReconcileRef).isDryRun) return;
              figures.found((value as ProviderPage | UserPage).findings);
            }
          },
        ),
    },
  });
}

const PROVIDER_CALLS = [
  'settle',
  'create',
  'find',
  'list',
  'wake',
  'sleep',
  'destroy',
  'execute',
  'openTerminal',
] as const;

export function measureProvider(figures: Figures, machines: MachineProvider): MachineProvider {
  return leadCalls(machines, PROVIDER_CALLS, (call, run) =>
    timed(run, ({ result, seconds }) => figures.providerCalled({ call, result, seconds })),
  );
}

export function measureModel(figures: Figures, model: ChatModel): ChatModel {
  return {
    complete: (request) =>
      timed(
        () => model.complete(request),
        ({ result, seconds, value }) =>
          figures.modelCalled({
            ...{ result: value === undefined ? result : resultOf(value), seconds },
            ...(value?.usage === undefined ? {} : { usage: value.usage }),
          }),
      ),
  };
}

/** An answer may be none: as the step sees it. */
function resultOf({ content, toolCalls, finish }: ChatAnswer): Result {
  if (finish === 'refused') return 'MODEL_REFUSED';
  return content.trim() === '' && toolCalls.length === 0 ? 'MODEL_EMPTY_ANSWER' : 'ok';
}

export function measureLiveText(figures: Figures, live: LiveText): LiveText {
  return {
    async append(said) {
      const isTaken = await live.append(said);
      if (isTaken) figures.told(said.turnKey);
      return isTaken;
    },
  };
}
