/**
 * Kills this worker at a named point, as a power cut would: for tests, and for operators who want to see a recovery. Off unless the
 * setting WORKER_FAULT_POINT names a point; then the parts are watched from here, and none of them knows of it.
 *
 * A point is `activity/place`, or `activity/place#n` for its n-th passing in this process. Places: `begin`; `completion` (all is
 * done, and Temporal is not told yet); and, around a call of a port, its name with `:before` or `:after` (the far side has done
 * it, and nobody here knows): `store.query`, `store.commit`, `machines.wake`, `guest.run`, `model.complete`, …
 */
import { Context } from '@temporalio/activity';
import { InnkeeperError } from '../contracts/errors.js';
import type { Guest } from '../guest/guest.js';
import type { Store } from '../store/pool.js';

const SYNTAX = /^(?<activity>\w+)\/(?<place>[\w.]+(?::before|:after)?)(?:#(?<passing>[1-9]\d{0,5}))?$/;

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

/** @param point the setting. @throws InnkeeperError SETTINGS_INVALID where it is no point */
export function createFaultPoints(point: string | undefined, die: () => void = killSelf): FaultPoints {
  if (point === undefined) return NONE;
  const { activity, place, passing = '1' } = SYNTAX.exec(point)?.groups ?? {};
  if (activity === undefined || place === undefined) {
    const example = 'act/guest.run:after';
    throw new InnkeeperError('SETTINGS_INVALID', `WORKER_FAULT_POINT must be activity/place, such as ${example}.`);
  }
  let left = Number(passing);
  const pass = (where: string): void => {
    if (where !== place || currentActivity() !== activity) return;
    left -= 1;
    if (left === 0) die();
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

type Around = (call: () => unknown) => unknown;

/** The same object, each call of a method led through what `around` makes for it. */
function lead<T extends object>(target: T, around: (method: string) => Around): T {
  return new Proxy(target, {
    get(_target, key) {
      const value = member(target, key);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => around(String(key))(() => (value as (...args: unknown[]) => unknown)(...args));
    },
  });
}

/** A property as the object itself sees it: private fields are not to be had through a proxy. */
function member(target: object, key: string | symbol): unknown {
  const value: unknown = Reflect.get(target, key, target);
  return typeof value === 'function' ? (value.bind(target) as unknown) : value;
}

function currentActivity(): string | undefined {
  try {
    return Context.current().info.activityType;
  } catch {
    return undefined; // Not within an activity: a timer of the worker itself.
  }
}

function killSelf(): void {
  process.kill(process.pid, 'SIGKILL');
}
