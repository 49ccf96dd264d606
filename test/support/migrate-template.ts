/** Brings the template database of the tests to the newest schema. */
import { join } from 'node:path';
import { runner } from 'node-pg-migrate';
import { PROJECT_ROOT } from '../../src/dev/paths.js';

export async function migrateTemplate(databaseUrl: string): Promise<void> {
  await runner({
    databaseUrl,
    dir: join(PROJECT_ROOT, 'migrations'),
    direction: 'up',
    migrationsTable: 'schema_migrations',
    logger: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
  });
}
