/** What a history must not tell: where it was recorded. */

/** A process and its machine's name, as workers and their own task queues are called by default. */
const PROCESS = /^\d+@[\w.-]+$/;

/** The history as text, without names of processes and without stack traces, which tell where the recorder's files lie. */
export function scrub(json: unknown): string {
  return JSON.stringify(json, (key, value: unknown) => {
    if (key === 'stackTrace') return '';
    return typeof value === 'string' && PROCESS.test(value) ? 'recorder' : value;
  });
}
