/**
 * Kills this worker at a named point, as a power cut would: for tests, and for operators who want to see a recovery. Off unless the
 * setting WORKER_FAULT_POINT names a point; then the parts are watched from here, and none of them knows of it.
 *
 * A point is `activity/place`, or `activity/place#n` for its n-th passing in this process; several are separated by commas, and the
 * first that is reached kills. `@path` names a file that holds them, and is read again at every passing: so a running worker is armed.
 * Places: `begin`; `completion` (all is done, and Temporal is not told yet); and, around a call of a
 * port, its name with `:before` or `:after` (the far side has done it, and nobody here knows): `store.query`, `store.commit`,
 * `machines.wake`, `guest.run`, `model.complete`, …; `store.commit[2]:before` is the second such call of one execution.
 */
import { existsSync, readFileSync, writeSync } from 'node:fs';
import { Context } from '@temporalio/activity';
import { InnkeeperError } from '../contracts/errors.js';
import type { Guest } from '../guest/guest.js';
import type { Store } from '../store/pool.js';
import { lead, member } from './lead.js';

const SYNTAX =
  /^(?<activity>\w+)\/(?<name>[\w.]+)(?:\[(?<call>[1-9]\d?)\])?(?<side>:before|:after)?(?:#(?<passing>[1-9]\d{0,5}))?$/;

interface Point {
  /** As it was written in the setting. */
  readonly text: string;
  readonly activity: string;
  /** `begin`, `store.commit:before`, … */
  readonly place: string;
  /** Which call of one execution; undefined: any. */
  readonly call: number | undefined;
  /** Passings that are left in this process. */
  left: number;
}

/** Who dies, and where. */
export interface Death {
  readonly point: string;
  readonly workflowId: string;
}

export interface FaultPoints {
  /** The same activities, each with its two points. */
  activities<T extends object>(activities: T): T;
  /** A port, its calls by their names. */
  port<T extends object>(name: string, port: T): T;
  guest(guest: Guest): Guest;
  store(store: Store): Store;
}

const NONE: FaultPoints = {
  activities: (activities) => activities,
  port: (_name, port) => port,
  guest: (guest) => guest,
  store: (store) => store,
};

/** @param setting the points. @throws InnkeeperError SETTINGS_INVALID where one is no point */
export function createFaultPoints(setting: string | undefined, die: (death: Death) => void = killSelf): FaultPoints {
  if (setting === undefined) return NONE;
  const armed = createArming(setting);
  const calls = new WeakMap<Context, Map<string, number>>();
  const pass = (place: string): void => {
    const context = currentActivity();
    if (context === undefined) return;
    const { activityType, workflowExecution } = context.info;
    const counts = calls.get(context) ?? new Map<string, number>();
    calls.set(context, counts.set(place, (counts.get(place) ?? 0) + 1));
    for (const point of armed()) {
      if (point.place !== place || point.activity !== activityType) continue;
      if (point.call !== undefined && point.call !== counts.get(place)) continue;
      point.left -= 1;
      if (point.left === 0) die({ point: point.text, workflowId: workflowExecution?.workflowId ?? '' });
    }
  };
  const between =
    (before: string, after: string) =>
    (call: () => unknown): unknown => {
      pass(before);
      const answer = call();
      if (!(answer instanceof Promise)) return answer;
      return answer.then((value: unknown) => {
        pass(after);
        return value;
      });
    };
  const port = <T extends object>(name: string, target: T): T =>
    lead(target, (method) => between(`${name}.${method}:before`, `${name}.${method}:after`));

  return {
    activities: (activities) => lead(activities, () => between('begin', 'completion')),
    port,
    guest: (guest) => ({
      ...port('guest', guest),
      attach: async (request) => port('guest', await port('guest', guest).attach(request)),
    }),
    store: (store) => ({
      ...store,
      query: port('store', store).query,
      connect: async () => {
        const client = await store.connect();
        const commit = between('store.commit:before', 'store.commit:after');
        const query = client.query.bind(client) as (...args: unknown[]) => unknown;
        const watched = (...args: unknown[]): unknown =>
          args[0] === 'commit' ? commit(() => query(...args)) : query(...args);
        return new Proxy(client, {
          get: (target, key) => (key === 'query' ? watched : member(target, key)),
        });
      },
    }),
  };
}

/** @returns the points as they are set at the moment */
function createArming(setting: string): () => readonly Point[] {
  const parse = (text: string): Point[] => (text.trim() === '' ? [] : text.trim().split(',').map(parsePoint));
  if (!setting.startsWith('@')) {
    const points = setting.split(',').map(parsePoint);
    return () => points;
  }
  const file = setting.slice(1);
  let text = '';
  let points: readonly Point[] = [];
  return () => {
    const now = existsSync(file) ? readFileSync(file, 'utf8') : '';
    if (now !== text) [text, points] = [now, parse(now)];
    return points;
  };
}

function parsePoint(text: string): Point {
  const { activity, name, call, side = '', passing = '1' } = SYNTAX.exec(text)?.groups ?? {};
  if (activity === undefined || name === undefined) {
    const example = 'act/guest.run:after';
    throw new InnkeeperError('SETTINGS_INVALID', `WORKER_FAULT_POINT must be activity/place, such as ${example}.`);
  }
  return {
    text,
    activity,
    place: name + side,
    call: call === undefined ? undefined : Number(call),
    left: Number(passing),
  };
}

function currentActivity(): Context | undefined {
  try {
    return Context.current();
  } catch {
    return undefined; // Not within an activity: a timer of the worker itself.
  }
}

/** Says where, by a write that is done before the kill. */
function killSelf(death: Death): void {
  writeSync(process.stderr.fd, `${JSON.stringify({ diesAt: death, pid: process.pid, atMs: Date.now() })}\n`);
  process.kill(process.pid, 'SIGKILL');
}
