/** A Postgres of the file's own, for tests that stop it or need a cluster where nobody made roles. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pickFreePort } from '../../../src/dev/ports.js';
import { startPostgres } from '../../../src/dev/postgres.js';

export interface OwnPostgres {
  readonly url: string;
  stop(): Promise<void>;
  /** Ends it without warning. */
  kill(): Promise<void>;
  start(): Promise<void>;
  remove(): Promise<void>;
}

export async function startOwnPostgres(): Promise<OwnPostgres> {
  const dataDir = mkdtempSync(join(tmpdir(), 'innkeeper-store-'));
  const port = await pickFreePort();
  const launch = () => startPostgres({ dataDir, port });
  let running = await launch();
  return {
    url: running.url,
    stop: () => running.stop(),
    kill: async () => {
      running.process.signal('SIGKILL');
      await running.process.exited;
    },
    start: async () => {
      running = await launch();
    },
    remove: async () => {
      await running.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
