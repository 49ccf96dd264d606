/** Watching a port from outside: its calls are led through a function of the watcher, and the port does not know. */

export type Around = (call: () => unknown) => unknown;

/** The same object, each call of a method led through what `around` makes for it. */
export function lead<T extends object>(target: T, around: (method: string) => Around): T {
  return new Proxy(target, {
    get(_target, key) {
      const value = member(target, key);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => around(String(key))(() => (value as (...args: unknown[]) => unknown)(...args));
    },
  });
}

/** A property as the object itself sees it: private fields are not to be had through a proxy. */
export function member(target: object, key: string | symbol): unknown {
  const value: unknown = Reflect.get(target, key, target);
  return typeof value === 'function' ? (value.bind(target) as unknown) : value;
}

/** As `lead`, for a port's asynchronous calls among `names`; whatever else it has stays as it is. */
export function leadCalls<T extends object, N extends keyof T & string>(
  target: T,
  names: readonly N[],
  around: (name: N, call: () => Promise<unknown>) => Promise<unknown>,
): T {
  const known: ReadonlySet<string> = new Set(names);
  return lead(
    target,
    (method) => (call) => (known.has(method) ? around(method as N, call as () => Promise<unknown>) : call()),
  );
}
