/** Brings the template database of the tests to the newest schema. */
import { silentLogger } from '../../src/log.js';
import { migrate } from '../../src/store/migrate.js';

export async function migrateTemplate(databaseUrl: string): Promise<void> {
  await migrate({ url: databaseUrl, log: silentLogger() });
}
