/** What a history must not tell: where it was recorded. */
const SCRUBBED: Readonly<Record<string, string>> = {
  // Of whoever's process it was: its number and its machine's name.
  identity: 'recorder',
  // Tells where the recorder's files lie, and nothing about the lane.
  stackTrace: '',
};

/** Workers, servers and clients have neither name nor place in what it returns. */
export function scrub(json: unknown): string {
  return JSON.stringify(json, (key, value: unknown) =>
    typeof value === 'string' && key in SCRUBBED ? SCRUBBED[key] : value,
  );
}
