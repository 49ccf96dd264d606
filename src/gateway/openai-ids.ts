/** The names of a turn for clients of OpenAI's API: they hold its user and its id, so that nothing has to be kept for them. */
import type { TurnRef } from '../client.js';
import { parseTurnId, parseUserId } from '../contracts/ids.js';

export type OpenAiObject = 'chatcmpl' | 'resp' | 'msg';

/** Ids hold no "/". */
const BETWEEN = '/';

export function openAiId(object: OpenAiObject, { userId, turnId }: TurnRef): string {
  return `${object}_${Buffer.from(`${userId}${BETWEEN}${turnId}`).toString('base64url')}`;
}

/** The turn that a response's id names; undefined: it is none of ours. */
export function parseResponseId(id: string): TurnRef | undefined {
  const [, coded = ''] = /^resp_([\w-]+)$/.exec(id) ?? [];
  const [user, turn, ...more] = Buffer.from(coded, 'base64url').toString().split(BETWEEN);
  if (more.length > 0) return undefined;
  try {
    const ref = { userId: parseUserId(user), turnId: parseTurnId(turn) };
    // One turn has one name.
    return openAiId('resp', ref) === id ? ref : undefined;
  } catch {
    return undefined; // Not an id, which is all that was asked.
  }
}
