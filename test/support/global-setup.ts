/**
 * Runs once around the whole test run: keeps the one Postgres and the one Temporal that every test file shares, starts each when
 * the first file asks for it, and stops both at the end. Files ask over HTTP on the loopback address (test/support/servers.ts).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { openChildList, type ChildList } from '../../src/dev/child-list.js';
import type { OnSpawn } from '../../src/dev/process.js';
import { readTools } from '../../src/dev/paths.js';
import { LOOPBACK, pickFreePort, pickFreePorts } from '../../src/dev/ports.js';
import { startPostgres, type RunningPostgres } from '../../src/dev/postgres.js';
import { startTemporal, type RunningTemporal } from '../../src/dev/temporal.js';
import { migrateTemplate } from './migrate-template.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the shared servers are asked for. */
    starterUrl: string;
  }
}

const TEMPLATE = 'template_migrated';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'innkeeper-test-'));
  const shared = sharedServers(folder);
  const server = createServer((request, response) => {
    const answer = async (): Promise<unknown> => {
      if (request.url === '/temporal') return await shared.temporal();
      if (request.url === '/database') return await shared.cloneDatabase({ migrated: true });
      if (request.url === '/empty-database') return await shared.cloneDatabase({ migrated: false });
      throw new Error(`no such server: ${request.url ?? ''}`);
    };
    answer().then(
      (body) => response.end(JSON.stringify(body)),
      (error: unknown) => {
        response.statusCode = 500;
        response.end(error instanceof Error ? (error.stack ?? error.message) : String(error));
      },
    );
  });
  const port = await pickFreePort();
  await new Promise<void>((resolve) => server.listen(port, LOOPBACK, resolve));
  project.provide('starterUrl', `http://${LOOPBACK}:${port}`);

  return async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await shared.stop();
    rmSync(folder, { recursive: true, force: true });
  };
}

function sharedServers(folder: string): {
  temporal(): Promise<{ address: string; uiUrl: string }>;
  cloneDatabase(options: { migrated: boolean }): Promise<{ url: string; adminUrl: string; name: string }>;
  stop(): Promise<void>;
} {
  let postgres: Promise<RunningPostgres> | undefined;
  let temporal: Promise<RunningTemporal> | undefined;
  let databases = 0;
  // Its watchdog ends the servers of a run that is killed; it is part of the build, as is all that tests start as processes.
  let children: ChildList | undefined;
  const onSpawn: OnSpawn = (child) => (children ??= openChildList(join(folder, 'children.json'))).add(child);
  // One clone at a time: Postgres refuses to copy a database that anybody is connected to.
  let cloning: Promise<unknown> = Promise.resolve();

  const startDatabaseServer = async (): Promise<RunningPostgres> => {
    const where = { dataDir: folder, port: await pickFreePort() };
    const running = await startPostgres({ ...where, durable: false, onSpawn });
    await query(running.url, `create database ${TEMPLATE}`);
    await migrateTemplate(withDatabase(running.url, TEMPLATE));
    return running;
  };
  const startTemporalServer = async (): Promise<RunningTemporal> => {
    const [port = 0, uiPort = 0] = await pickFreePorts(2);
    const executable = readTools().temporal;
    if (executable === undefined) throw new Error('the Temporal CLI is missing: type `npm run setup`');
    return await startTemporal({ executable, dataDir: folder, port, uiPort, onSpawn });
  };
  return {
    temporal: async () => {
      const { address, uiUrl } = await (temporal ??= startTemporalServer());
      return { address, uiUrl };
    },
    cloneDatabase: async ({ migrated }) => {
      const { url } = await (postgres ??= startDatabaseServer());
      const name = `test_${(databases += 1)}`;
      const turn = cloning.then(() => query(url, `create database ${name}${migrated ? ` template ${TEMPLATE}` : ''}`));
      cloning = turn.catch(() => undefined); // Its own caller is told; the next clone goes on.
      await turn;
      return { url: withDatabase(url, name), adminUrl: url, name };
    },
    stop: async () => {
      // One that failed to start was reported to the file that asked, and has stopped itself.
      await (await temporal?.catch(() => undefined))?.stop();
      await (await postgres?.catch(() => undefined))?.stop();
      await children?.clear();
    },
  };
}

function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
