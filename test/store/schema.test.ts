/**
 * Goal: the schema changes only on purpose. Method: an empty database is migrated and its catalog compared with the committed
 * schema.sql; after a migration of yours, write it anew by `npx vitest run test/store/schema.test.ts -u` and review it.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CLIENT_ROLE } from '../../src/store/client-role.js';
import { migrate } from '../../src/store/migrate.js';
import { createEmptyTestDatabase, type TestDatabase } from '../support/servers.js';
import { dumpSchema } from './support/dump-schema.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createEmptyTestDatabase();
});
afterAll(() => database.drop());

it('is as committed in schema.sql', async () => {
  await migrate({ url: database.url, log: { info: () => undefined, warn: () => undefined } });
  await expect(await dumpSchema(database.url, CLIENT_ROLE)).toMatchFileSnapshot('./schema.sql');
});
