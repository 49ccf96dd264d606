/** The key of `npm start` to its own gateway: kept in the data folder, so that a page that is open survives a restart. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createApiKey, findApiKey } from '../store/api-keys.js';
import { createPool } from '../store/pool.js';

const FILE = 'gateway.key';
const NAME = 'npm start';

/** A key of the scope operator. @throws InnkeeperError STORE_UNAVAILABLE */
export async function localKey(of: { readonly dataDir: string; readonly databaseUrl: string }): Promise<string> {
  const file = join(of.dataDir, FILE);
  const store = createPool({ url: of.databaseUrl, poolMax: 1, applicationName: 'innkeeper-dev' });
  try {
    const kept = read(file);
    // Revoked, or of a database that is gone: a new one is made.
    if (kept !== undefined && (await findApiKey(store, kept)) !== undefined) return kept;
    const { key } = await createApiKey(store, { name: NAME, scope: 'operator' });
    writeFileSync(file, `${key}\n`, { mode: 0o600 });
    return key;
  } finally {
    await store.end();
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined; // The first start on this folder.
  }
}
