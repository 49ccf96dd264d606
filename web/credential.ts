/** What the page proves itself by, and whom it shows: read from the address's fragment, which no server sees. */

export type Credential =
  | { readonly kind: 'key'; readonly secret: string }
  /** Reaches this user only. */
  | { readonly kind: 'token'; readonly secret: string; readonly userId: string };

export interface Arrival {
  readonly credential: Credential | undefined;
  /** undefined: the address names no user. */
  readonly userId: string | undefined;
}

/** The part of a tab's storage that is used. */
export interface TabStorage {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
  removeItem(name: string): void;
}

/** The name in the tab's storage: a reload keeps it, and it is gone with the tab. */
const STORED = 'innkeeper.credential';
/** What may stand in a header. */
const SECRET = /^[\x21-\x7e]{1,8192}$/;

/** `#key=…`, `#token=…&user=…`, `#user=…`, with or without the hash. */
export function parseFragment(fragment: string): Arrival {
  const fields = new Map(fragment.replace(/^#/, '').split('&').map(toField));
  const [key, token, userId] = ['key', 'token', 'user'].map((name) => fields.get(name) || undefined);
  return { credential: toCredential(key, token, userId), userId };
}

export function toFragment(userId: string | undefined): string {
  return userId === undefined ? '' : `#user=${encodeURIComponent(userId)}`;
}

export function isSecret(text: string): boolean {
  return SECRET.test(text);
}

export function loadCredential(storage: TabStorage): Credential | undefined {
  try {
    const { kind, secret, userId } = JSON.parse(storage.getItem(STORED) ?? '{}') as Partial<Record<string, string>>;
    return toCredential(kind === 'key' ? secret : undefined, kind === 'token' ? secret : undefined, userId);
  } catch {
    return undefined; // Storage is off, or holds something else: the page asks.
  }
}

export function storeCredential(storage: TabStorage, credential: Credential | undefined): void {
  try {
    if (credential === undefined) storage.removeItem(STORED);
    else storage.setItem(STORED, JSON.stringify(credential));
  } catch {
    // Storage is off: a reload will ask again.
  }
}

function toCredential(
  key: string | undefined,
  token: string | undefined,
  userId: string | undefined,
): Credential | undefined {
  if (key !== undefined && SECRET.test(key)) return { kind: 'key', secret: key };
  if (token !== undefined && userId !== undefined && SECRET.test(token)) {
    return { kind: 'token', secret: token, userId };
  }
  return undefined;
}

function toField(field: string): [name: string, value: string] {
  const at = field.indexOf('=');
  return at === -1 ? [field, ''] : [field.slice(0, at), decode(field.slice(at + 1))];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A malformed escape is simply text.
  }
}
