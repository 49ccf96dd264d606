/**
 * Python environments of the tests: the vendor's own clients, one version each, which the emulator has to satisfy, Temporal's
 * Python SDK for the contract with other languages, and what compares the gateway with its OpenAPI document.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE } from './paths.mjs';
import { runBeside, say, SetupError, tryRun } from './say.mjs';
import { ensureProgram } from './system-package.mjs';

/** Name of the environment to what is installed into it. */
const ENVIRONMENTS = {
  '0.2.0': ['dedalus-sdk[websockets]==0.2.0'],
  '0.4.0': ['dedalus-sdk[websockets]==0.4.0'],
  '0.5.0': ['dedalus-sdk==0.5.0'],
  '0.6.0': ['dedalus-sdk==0.6.0'],
  temporalio: ['temporalio==1.35.0'],
  // Both named: the same seed is to make the same requests.
  schemathesis: ['schemathesis==4.32.5', 'hypothesis==6.170.17'],
};
export const PYTHON_ENVIRONMENTS = Object.keys(ENVIRONMENTS);
/** Schemathesis asks for it. */
const PYTHON_MIN = /** @type {const} */ ([3, 11]);
/** Written last: an interrupted installation has none. */
const STAMP = 'innkeeper-complete';

/** @param {string} name */
const folderOf = (name) => join(CACHE, 'python', name);

const missing = () => Object.entries(ENVIRONMENTS).filter(([name]) => !existsSync(join(folderOf(name), STAMP)));

/** Folders of the environments by their names. @returns {Promise<Record<string, string>>} */
export async function ensurePythonEnvironments() {
  const wanted = missing();
  if (wanted.length > 0) {
    say(`Installing ${wanted.length} Python environment(s) for the tests (about 20 s) …`);
    const python = findPython();
    const pip = await preparePip(python);
    // Two at a time: each keeps a processor busy.
    const installSome = async () => {
      for (let next = wanted.shift(); next !== undefined; next = wanted.shift()) {
        const [name, packages] = next;
        await install({ python, pip, folder: folderOf(name), packages });
      }
    };
    await Promise.all([installSome(), installSome()]);
  }
  return Object.fromEntries(Object.keys(ENVIRONMENTS).map((name) => [name, folderOf(name)]));
}

/** A Python that can make environments. */
function findPython() {
  // Debian ships Python without the parts that make environments.
  const isComplete = (/** @type {string} */ path) => tryRun(path, ['-c', 'import venv, ensurepip']).ok;
  const python = ensureProgram({ names: ['python3'], debianPackage: 'python3-venv', purpose: 'tests', isComplete });
  const isNewEnough = `import sys; sys.exit(sys.version_info < (${PYTHON_MIN.join(', ')}))`;
  if (tryRun(python, ['-c', isNewEnough]).ok) return python;
  throw new SetupError(`${python} is too old for the tests.`, `Install Python ${PYTHON_MIN.join('.')} or newer.`);
}

/**
 * The Python of an environment that holds pip alone, which installs into the others: making pip anew in each of them took longer than
 * all that is installed.
 * @param {string} python
 */
async function preparePip(python) {
  const folder = folderOf('pip');
  rmSync(folder, { recursive: true, force: true });
  await runBeside(python, ['-m', 'venv', folder]);
  return join(folder, 'bin', 'python');
}

/** @param {{ python: string, pip: string, folder: string, packages: readonly string[] }} what */
async function install({ python, pip, folder, packages }) {
  rmSync(folder, { recursive: true, force: true });
  await runBeside(python, ['-m', 'venv', '--without-pip', folder]);
  const quietly = ['--quiet', '--disable-pip-version-check', '--no-input', '--no-warn-script-location'];
  await runBeside(pip, ['-m', 'pip', 'install', ...quietly, '--no-compile', '--prefix', folder, ...packages]);
  writeFileSync(join(folder, STAMP), packages.join('\n'));
}
