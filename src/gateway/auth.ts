/** Who asks, and what they may reach. */
import type { FastifyRequest } from 'fastify';
import { InnkeeperError } from '../contracts/errors.js';
import { parseUserId } from '../contracts/ids.js';
import { TERMINAL_BEARER } from '../contracts/terminal.js';
import { findApiKey, type KeyScope } from '../store/api-keys.js';
import type { Queryable } from '../store/sql.js';
import type { UserTokens } from './user-tokens.js';

export type Principal =
  | { readonly kind: 'key'; readonly keyId: string; readonly scope: KeyScope }
  /** Reaches this user only. */
  | { readonly kind: 'user'; readonly userId: string };

/**
 * `user`: keys, and the user whom the path names; `named`: keys, and the user whom the request names elsewhere, which the route asks
 * for by `nameUser`; `operator`: keys of that scope.
 */
export type Access = 'user' | 'named' | 'operator';

const BEARER = /^Bearer ([\x21-\x7e]{1,8192})$/i;

/** Subprotocols that a WebSocket was asked for with. */
export function offeredProtocols({ headers }: FastifyRequest): string[] {
  return (headers['sec-websocket-protocol'] ?? '').split(',').map((protocol) => protocol.trim());
}

/** From the header; of a WebSocket also from among its subprotocols, since a browser can set no header there. */
function credentialOf(request: FastifyRequest): string | undefined {
  const { authorization = '' } = request.headers;
  if (!request.ws || authorization !== '') return BEARER.exec(authorization)?.[1];
  const offered = offeredProtocols(request).find((protocol) => protocol.startsWith(TERMINAL_BEARER));
  return offered?.slice(TERMINAL_BEARER.length) || undefined;
}

/** @throws InnkeeperError UNAUTHENTICATED, STORE_UNAVAILABLE */
export async function authenticate(
  request: FastifyRequest,
  parts: { readonly store: Queryable; readonly tokens: UserTokens | undefined },
): Promise<Principal> {
  const credential = credentialOf(request);
  if (credential === undefined) throw new InnkeeperError('UNAUTHENTICATED', 'The request has no bearer credential.');
  if (credential.startsWith('ik_')) {
    const key = await findApiKey(parts.store, credential);
    if (key === undefined) throw new InnkeeperError('UNAUTHENTICATED', 'This key is not known, or was revoked.');
    return { kind: 'key', keyId: key.keyId, scope: key.scope };
  }
  if (parts.tokens === undefined)
    throw new InnkeeperError('UNAUTHENTICATED', 'This deployment takes no tokens of users.');
  return { kind: 'user', userId: await parts.tokens.verify(credential) };
}

/** Says the same whether or not what is asked for exists. @throws InnkeeperError FORBIDDEN */
export function authorize(principal: Principal, access: Access, userId: string | undefined): void {
  if (access === 'named') return;
  if (access === 'operator') {
    if (principal.kind === 'key' && principal.scope === 'operator') return;
    throw new InnkeeperError('FORBIDDEN', 'This route is for keys of the scope operator.');
  }
  if (principal.kind === 'user' && principal.userId !== userId) {
    throw new InnkeeperError('FORBIDDEN', 'A token of a user reaches that user only.');
  }
}

/**
 * The user whom a request is about that no path names. A token names its own.
 * @param names what the request says at its several places @throws InnkeeperError USER_MISSING, INVALID_INPUT, INVALID_USER_ID, FORBIDDEN
 */
export function userNamed(principal: Principal, names: readonly (string | null | undefined)[]): string {
  const said = new Set(names.filter((name) => name !== undefined && name !== null));
  if (said.size > 1) throw new InnkeeperError('INVALID_INPUT', 'The request names two users.');
  const [name = principal.kind === 'user' ? principal.userId : undefined] = said;
  if (name === undefined) throw new InnkeeperError('USER_MISSING', 'The request does not say which user it is for.');
  const userId = parseUserId(name);
  authorize(principal, 'user', userId);
  return userId;
}
