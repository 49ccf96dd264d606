/** Where set-up keeps things. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Tools that were fetched; safe to delete. */
export const CACHE = join(ROOT, '.cache');
export const DIST = join(ROOT, 'dist');
