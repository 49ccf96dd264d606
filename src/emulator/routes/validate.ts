/** Request bodies, queries and pages. What does not fit is answered as the vendor's validation problem (422). */
import type { z } from 'zod';
import { PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX } from '../constants.js';
import { problem, type FieldProblem } from '../wire/errors.js';

export function parseBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body ?? {});
  if (parsed.success) return parsed.data;
  throw problem(
    422,
    'validation failed',
    parsed.error.issues.flatMap((issue) => toProblems(issue, body)),
  );
}

function toProblems(issue: z.core.$ZodIssue, body: unknown): FieldProblem[] {
  const location = ['body', ...issue.path.map(String)].join('.');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ location: `${location}.${key}`, message: 'unexpected property' }));
  }
  const value = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], body);
  const message = value === undefined ? 'expected required property' : issue.message;
  return [{ location, message, ...(value === undefined ? {} : { value }) }];
}

export function queryString(query: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = query[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

export interface Page<T> {
  items: T[];
  next_cursor?: string;
}

/**
 * A page over items whose order never changes; the cursor is the id of the last item handed out. Items that became
 * invisible since (destroyed machines) still mark their place.
 */
export function pageOf<T>(
  all: readonly T[],
  idOf: (item: T) => string,
  query: Readonly<Record<string, unknown>>,
  isVisible: (item: T) => boolean = () => true,
): Page<T> {
  const limitText = queryString(query, 'limit');
  const limit = limitText === undefined ? PAGE_LIMIT_DEFAULT : Number(limitText);
  if (!Number.isInteger(limit) || limit < 1) {
    const message = 'expected number >= 1';
    throw problem(422, 'validation failed', [{ location: 'query.limit', message, value: limitText }]);
  }
  const cursor = queryString(query, 'cursor');
  let start = 0;
  if (cursor !== undefined) {
    const lastId = Buffer.from(cursor, 'base64url').toString();
    const at = all.findIndex((item) => idOf(item) === lastId);
    if (at === -1) throw problem(400, 'cursor is not valid');
    start = at + 1;
  }
  const rest = all.slice(start).filter(isVisible);
  const items = rest.slice(0, Math.min(limit, PAGE_LIMIT_MAX));
  const last = items.at(-1);
  if (last === undefined || items.length === rest.length) return { items };
  return { items, next_cursor: Buffer.from(idOf(last)).toString('base64url') };
}
