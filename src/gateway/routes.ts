/** What the routes share. */
import { InnkeeperError } from '../contracts/errors.js';
import { parseUserId } from '../contracts/ids.js';
import type { Access } from './auth.js';
import { PROBLEM_TYPE, problemSchema } from './problem.js';

/** Schema and access of a route, as the server and the document know them. */
export function describe<T extends object>(
  access: Access,
  schema: T & { readonly summary: string; readonly tags: readonly string[] },
) {
  return {
    config: { access },
    schema: { security: [{ bearer: [] }], ...schema },
  } as const;
}

const problem = (description: string) => ({ description, content: { [PROBLEM_TYPE]: { schema: problemSchema } } });

/** Answers of every route beside its own. */
export const problems = {
  '4xx': problem('The request was refused'),
  '5xx': problem('A part is away, or failed'),
} as const;

/** A page of items, and where the next one begins; null: this is the last. */
export function toPage<T>(
  items: readonly T[],
  limit: number,
  cursorOf: (last: T) => string,
): { items: T[]; next: string | null } {
  const last = items.at(-1);
  return { items: [...items], next: items.length < limit || last === undefined ? null : cursorOf(last) };
}

/** Takes the body out of its request: a conversation that came along is not kept for as long as an answer is streamed. */
export function takeBody<T>(request: { body: T }): T {
  const { body } = request;
  (request as { body: unknown }).body = undefined;
  return body;
}

/** @throws InnkeeperError INVALID_USER_ID */
export const userOf = ({ user }: { readonly user: string }): string => parseUserId(user);

/** The place that a cursor of a list by number names. @throws InnkeeperError INVALID_INPUT */
export function toPosition(cursor: string): number {
  if (/^\d{1,15}$/.test(cursor)) return Number(cursor);
  throw new InnkeeperError('INVALID_INPUT', 'The cursor is none of this list: take `next` of the page before.');
}
