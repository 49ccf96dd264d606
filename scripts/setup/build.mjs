/**
 * dist/: TypeScript compiled, other files of src/ copied, the page bundled, and the workflows bundled ahead of time, so that a worker
 * starts in milliseconds and production runs what was checked. Built beside the old one and then put in its place.
 */
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { buildPage } from './page.mjs';
import { CACHE, DIST, ROOT } from './paths.mjs';
import { run, say } from './say.mjs';

const SOURCES = [
  ...['src', 'web', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'],
  ...['scripts/setup/build.mjs', 'scripts/setup/page.mjs'],
];
/** What the bundle is made of, dependencies by their lock. */
const BUNDLE_SOURCES = ['src/workflows', 'src/contracts', 'package-lock.json', 'scripts/setup/build.mjs'];
const BUNDLE = 'workflow-bundle.js';
const STAMP = '.stamp.json';

export const build = {
  name: 'build',
  isReady() {
    return readStamp(DIST)?.sources === hashOf(SOURCES);
  },
  async make() {
    say('Building (about 5 s) …');
    const stamp = { sources: hashOf(SOURCES), bundle: hashOf(BUNDLE_SOURCES) };
    const fresh = join(CACHE, `dist-${process.pid}`);
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(fresh, { recursive: true });
    try {
      // No incremental build here: a file without its source must not survive.
      const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
      run(process.execPath, [compiler, '-p', 'tsconfig.build.json', '--outDir', fresh], { cwd: ROOT });
      copyAssets(fresh);
      await buildPage(join(fresh, 'web'));
      await addBundle(fresh, stamp.bundle);
      writeFileSync(join(fresh, STAMP), JSON.stringify(stamp));
      replace(DIST, fresh);
    } finally {
      rmSync(fresh, { recursive: true, force: true });
    }
  },
};

/** @param {string} fresh */
function copyAssets(fresh) {
  for (const file of filesBelow(join(ROOT, 'src')).filter((path) => !/\.tsx?$/.test(path))) {
    const target = join(fresh, relative(join(ROOT, 'src'), file));
    mkdirSync(dirname(target), { recursive: true });
    cpSync(file, target);
  }
}

/** @param {string} fresh @param {string} hash */
async function addBundle(fresh, hash) {
  const workflows = join(fresh, 'workflows', 'index.js');
  if (!existsSync(workflows)) return;
  const target = join(fresh, BUNDLE);
  if (readStamp(DIST)?.bundle === hash && existsSync(join(DIST, BUNDLE))) {
    cpSync(join(DIST, BUNDLE), target);
    return;
  }
  const { bundleWorkflowCode } = await import('@temporalio/worker');
  const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, log() {} };
  const { code } = await bundleWorkflowCode({
    workflowsPath: workflows,
    payloadConverterPath: join(fresh, 'workflows', 'payload-converter.js'),
    workflowInterceptorModules: [join(fresh, 'workflows', 'trace-headers.js')],
    logger: quiet,
  });
  writeFileSync(target, code);
}

/** @param {string} old @param {string} fresh */
function replace(old, fresh) {
  const aside = `${fresh}-old`;
  if (existsSync(old)) renameSync(old, aside);
  renameSync(fresh, old);
  rmSync(aside, { recursive: true, force: true });
}

/** @param {string} folder @returns {{ sources: string, bundle: string } | undefined} */
function readStamp(folder) {
  try {
    return JSON.parse(readFileSync(join(folder, STAMP), 'utf8'));
  } catch {
    return undefined; // Never built, or interrupted: the stamp is written last.
  }
}

/** @param {readonly string[]} paths */
function hashOf(paths) {
  const hash = createHash('sha256').update(process.version);
  for (const file of paths.flatMap((path) => filesBelow(join(ROOT, path)))) {
    hash.update(`\0${relative(ROOT, file)}\0`).update(readFileSync(file));
  }
  return hash.digest('hex');
}

/** @param {string} path @returns {string[]} */
function filesBelow(path) {
  if (!existsSync(path)) return [];
  if (statSync(path).isFile()) return [path];
  const names = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return names.map((entry) => join(entry.parentPath, entry.name)).sort();
}
