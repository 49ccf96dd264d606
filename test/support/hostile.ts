/** Arbitraries of what an outside party may send where JSON, text or bytes are expected. */
import fc from 'fast-check';

/** Names that every object answers to, though nobody stored them. */
const PROTOTYPE_WORDS = ['toString', 'valueOf', 'constructor', '__proto__', 'hasOwnProperty'];
const AWKWARD_TEXTS = [
  '',
  ' ',
  '.',
  '..',
  '/',
  '%',
  '\0',
  '\ud800',
  '\n',
  '\u202e',
  'http://[',
  'ws://h/#x',
  '1e999',
  '-1',
  'NaN',
];
const AWKWARD_NUMBERS = [-1, 0, 0.5, 2 ** 31, 2 ** 53, 1e21, 1e308, -1e308];

export const hostileText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...PROTOTYPE_WORDS, ...AWKWARD_TEXTS),
  fc.string({ unit: 'binary', maxLength: 20 }),
);

/** An object whose conversion to text or to a number throws. */
const unprintable = JSON.parse('{"toString":1,"valueOf":1}') as object;

const scalar: fc.Arbitrary<unknown> = fc.oneof(
  hostileText,
  fc.constantFrom(...AWKWARD_NUMBERS),
  fc.constantFrom(null, true, false, unprintable, [], {}),
);

/** A JSON value whose objects use `keys` (what the reader looks for) and names from prototypes. */
export function hostileJson(keys: readonly string[]): fc.Arbitrary<unknown> {
  const key = fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...keys) }, fc.constantFrom(...PROTOTYPE_WORDS));
  return fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      scalar,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.array(fc.tuple(key, tie('value')), { maxLength: 6 }).map((entries) => {
        // As JSON.parse makes it: `__proto__` is a key like any other.
        const text = entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value) ?? 'null'}`);
        return JSON.parse(`{${text.join(',')}}`) as unknown;
      }),
    ),
  })).value;
}

/** An object of exactly these keys, each with a value of its own kind or with anything. */
export function hostileRecord(
  shape: Readonly<Record<string, fc.Arbitrary<unknown>>>,
): fc.Arbitrary<Record<string, unknown>> {
  const keys = Object.keys(shape);
  const anything = hostileJson(keys);
  const fields = Object.entries(shape).map(
    ([name, usual]) => [name, fc.oneof({ weight: 3, arbitrary: usual }, { weight: 1, arbitrary: anything })] as const,
  );
  return fc.record(Object.fromEntries(fields), { requiredKeys: [] });
}

/** Bytes cut at these places, which are taken modulo what is left. */
export function cutAt(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = Math.max(1, sizes[turn % sizes.length] ?? 1);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

/** Every way to cut bytes in two, and the way in single bytes. */
export function everyCut(bytes: Uint8Array): Uint8Array[][] {
  const halves = Array.from({ length: bytes.length + 1 }, (_, at) => [bytes.subarray(0, at), bytes.subarray(at)]);
  return [...halves, cutAt(bytes, [1])];
}
