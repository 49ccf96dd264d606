/** Keys of the gateway: only their hashes are kept. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { InnkeeperError } from '../contracts/errors.js';
import { statement, toIso, type Queryable } from './sql.js';

export const KEY_SCOPES = ['service', 'operator'] as const;
export type KeyScope = (typeof KEY_SCOPES)[number];

export interface ApiKey {
  readonly keyId: string;
  readonly name: string;
  readonly scope: KeyScope;
  readonly createdAt: string;
  readonly revokedAt: string | null;
}

interface ApiKeyRow {
  key_id: string;
  name: string;
  scope: KeyScope;
  key_hash: Buffer;
  created_at: Date;
  revoked_at: Date | null;
}

const KEY_ID_BYTES = 6;
const SECRET_BYTES = 32;
/** `ik_<id>_<secret>`. */
const KEY = /^ik_([0-9a-f]{12})_[A-Za-z0-9_-]{43}$/;

const COLUMNS = 'key_id, name, scope, key_hash, created_at, revoked_at';
const insert = statement(
  'insert_api_key',
  `insert into api_keys (key_id, name, scope, key_hash) values ($1, $2, $3, $4) returning ${COLUMNS}`,
);
const select = statement('select_api_key', `select ${COLUMNS} from api_keys where key_id = $1 and revoked_at is null`);
const selectAll = statement('select_api_keys', `select ${COLUMNS} from api_keys order by created_at, key_id`);
const revoke = statement(
  'revoke_api_key',
  `update api_keys set revoked_at = coalesce(revoked_at, clock_timestamp()) where key_id = $1 returning ${COLUMNS}`,
);

const hashOf = (key: string): Buffer => createHash('sha256').update(key).digest();

/** Makes a key. Its text is answered here and never again. */
export async function createApiKey(
  store: Queryable,
  { name, scope }: { readonly name: string; readonly scope: KeyScope },
): Promise<ApiKey & { readonly key: string }> {
  const keyId = randomBytes(KEY_ID_BYTES).toString('hex');
  const key = `ik_${keyId}_${randomBytes(SECRET_BYTES).toString('base64url')}`;
  const { rows } = await store.query<ApiKeyRow>(insert, [keyId, name, scope, hashOf(key)]);
  return { ...toView(rows[0] as ApiKeyRow), key };
}

export async function listApiKeys(store: Queryable): Promise<ApiKey[]> {
  return (await store.query<ApiKeyRow>(selectAll, [])).rows.map(toView);
}

/** Ends a key for good; it may have been ended before. @throws InnkeeperError INVALID_INPUT where there is no such key */
export async function revokeApiKey(store: Queryable, { keyId }: { readonly keyId: string }): Promise<ApiKey> {
  const [row] = (await store.query<ApiKeyRow>(revoke, [keyId])).rows;
  if (row === undefined) throw new InnkeeperError('INVALID_INPUT', `There is no key with the id ${keyId}.`);
  return toView(row);
}

/** The key with this text; undefined: none, or one that was revoked. */
export async function findApiKey(store: Queryable, key: string): Promise<ApiKey | undefined> {
  const keyId = KEY.exec(key)?.[1];
  if (keyId === undefined) return undefined;
  const [row] = (await store.query<ApiKeyRow>(select, [keyId])).rows;
  // The id is public: the comparison must not tell how much of the rest is right.
  return row !== undefined && timingSafeEqual(row.key_hash, hashOf(key)) ? toView(row) : undefined;
}

function toView(row: ApiKeyRow): ApiKey {
  const { key_id: keyId, name, scope, created_at: createdAt, revoked_at: revokedAt } = row;
  return { keyId, name, scope, createdAt: createdAt.toISOString(), revokedAt: toIso(revokedAt) };
}
