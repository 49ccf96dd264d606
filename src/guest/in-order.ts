/** Work on several items at once, its results in their order: pulled, so that no more is begun than somebody takes. */
export async function* inOrder<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const running: Promise<R>[] = [];
  try {
    for await (const item of items) {
      const result = work(item);
      result.catch(() => undefined); // Told when its turn comes.
      running.push(result);
      if (running.length < atOnce) continue;
      const [first] = running.splice(0, 1);
      if (first !== undefined) yield await first;
    }
    for (const result of running) yield await result;
  } finally {
    // Nothing of it goes on behind the end.
    await Promise.allSettled(running);
  }
}
