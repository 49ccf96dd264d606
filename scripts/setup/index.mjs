/**
 * Makes sure that what a command needs is there, and only that. Quick when all is there: then nothing is locked,
 * started or written.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.mjs';
import { dependencies } from './dependencies.mjs';
import { withSetupLock } from './lock.mjs';
import { CACHE } from './paths.mjs';
import { ensurePythonEnvironments, PYTHON_ENVIRONMENTS } from './python.mjs';
import { findProgram, say, SetupError, tryRun } from './say.mjs';
import { ensureProgram } from './system-package.mjs';
import { ensureTemporal } from './temporal.mjs';

const NODE_MIN = /** @type {const} */ ([20, 19]);
const TOOLS = join(CACHE, 'tools.json');

/** Tools are looked for once; src/dev/paths.ts reads the list of where they are. */
const tools = {
  temporal: ensureTemporal,
  bwrap: () =>
    ensureProgram({ names: ['bwrap'], debianPackage: 'bubblewrap', purpose: "the local machines' sandboxes" }),
  chromium: () =>
    ensureProgram({
      names: ['chromium', 'chromium-browser', 'google-chrome'],
      debianPackage: 'chromium',
      purpose: 'the browser test',
    }),
  /** `docker-compose`, or a `docker` that has it built in. */
  dockerCompose: () => {
    const docker = findProgram('docker');
    if (findProgram('docker-compose') === undefined && docker && tryRun(docker, ['compose', 'version']).ok)
      return docker;
    const purpose = 'the check of docker-compose.yml';
    return ensureProgram({ names: ['docker-compose'], debianPackage: 'docker-compose', purpose });
  },
  python: ensurePythonEnvironments,
};

/** What each kind of command needs. */
export const NEEDS = /** @type {const} */ ({
  cli: [],
  emulator: ['bwrap'],
  run: ['temporal', 'bwrap'],
  check: ['dockerCompose'],
  test: ['temporal', 'bwrap', 'chromium', 'python'],
  all: ['temporal', 'bwrap', 'chromium', 'dockerCompose', 'python'],
});

/**
 * @param {{ tools: readonly (keyof typeof tools)[], build?: boolean }} needs
 */
export async function ensure({ tools: needed, build: needsBuild = true }) {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) {
    throw new SetupError(`This is Node ${process.versions.node}.`, `Install Node ${NODE_MIN.join('.')} or newer.`);
  }
  const isBuilt = dependencies.isReady() && (!needsBuild || build.isReady());
  if (isBuilt && needed.every((name) => hasTool(name))) return;
  await withSetupLock(async () => {
    const makePackages = async () => {
      if (!dependencies.isReady()) await dependencies.make();
      if (needsBuild && !build.isReady()) await build.make();
    };
    const missing = needed.filter((tool) => !hasTool(tool));
    // Nothing here waits for another: npm and pip keep a processor each, a download neither.
    const ends = await Promise.allSettled([makePackages(), ...missing.map(provide)]);
    const problems = ends.filter((end) => end.status === 'rejected').map(({ reason }) => reason);
    for (const problem of problems) if (!(problem instanceof SetupError)) throw problem;
    // All that a person has to install is told at once.
    if (problems.length > 0) {
      throw new SetupError(problems.map(({ message }) => message).join('\n'), 'Nothing was started.');
    }
  });
}

/** @param {keyof typeof tools} name */
async function provide(name) {
  const found = await tools[name]();
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(TOOLS, `${JSON.stringify({ ...readTools(), [name]: found }, null, 2)}\n`);
}

/** Runs `main` and turns what went wrong into a message and an exit code. @param {() => Promise<void>} main */
export function runScript(main) {
  main().catch((error) => {
    say(
      error instanceof SetupError ? error.message : `Set-up failed: ${error instanceof Error ? error.message : error}`,
    );
    process.exitCode = 1;
  });
}

/** @returns {Record<string, string | Record<string, string> | undefined>} */
export function readTools() {
  try {
    return JSON.parse(readFileSync(TOOLS, 'utf8'));
  } catch {
    return {}; // Nothing was looked for yet.
  }
}

/** @param {keyof typeof tools} name */
function hasTool(name) {
  const paths = readTools()[name];
  if (paths === undefined) return false;
  if (typeof paths === 'string') return existsSync(paths);
  // The last set-up may be of a release that needed fewer of them.
  return PYTHON_ENVIRONMENTS.every((environment) => existsSync(paths[environment] ?? ''));
}
