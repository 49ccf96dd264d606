/** Lets one set-up run at a time: a second one waits, and finds everything done. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CACHE } from './paths.mjs';
import { say } from './say.mjs';

const POLL_MS = 200;
const file = join(CACHE, 'setup.lock');

/**
 * @template T
 * @param {() => Promise<T> | T} work
 * @returns {Promise<T>}
 */
export async function withSetupLock(work) {
  mkdirSync(CACHE, { recursive: true });
  let told = false;
  while (!tryTake()) {
    const holder = readHolder();
    if (holder !== undefined && !isAlive(holder)) {
      // Moved away under a name of our own first: of two that see the same dead holder, one moves it and one fails.
      const aside = `${file}.${process.pid}`;
      try {
        renameSync(file, aside);
        rmSync(aside);
      } catch {
        // Another one moved it: the next try tells who holds it now.
      }
      continue;
    }
    if (!told) say(`Waiting for another set-up in this clone to end (process ${holder ?? 'unknown'}) …`);
    told = true;
    await delay(POLL_MS);
  }
  const release = () => rmSync(file, { force: true });
  const interrupted = () => {
    release();
    process.exit(130);
  };
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  try {
    return await work();
  } finally {
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', interrupted);
    release();
  }
}

function tryTake() {
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false;
    throw error;
  }
}

/** Undefined while the holder has made the file but not yet written its number. */
function readHolder() {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    return pid > 0 ? pid : undefined;
  } catch {
    return undefined; // Released a moment ago: the next try takes it.
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}
