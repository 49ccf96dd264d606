/**
 * `npm run test:newest`: the scenarios of official clients with the newest of their packages, which need a newer Node than this project. Both are
 * put into .cache/newest, once; `-- --fresh` looks for newer ones. Not a part of `npm test`: what is published is nobody's promise here.
 */
import { spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ensure, NEEDS, runScript } from './setup/index.mjs';
import { CACHE, ROOT } from './setup/paths.mjs';
import { runBeside, say, SetupError } from './setup/say.mjs';

const NEWEST = join(CACHE, 'newest');
const SCENARIOS = join(ROOT, 'test', 'clients', 'scenarios');
const PACKAGES = ['ai', 'openai', '@ag-ui/client'];
/** A Node as an npm package, which no script has to install. */
const NODE = `node-${process.platform}-${process.arch}`;

runScript(async () => {
  await ensure({ tools: NEEDS.run });
  if (process.argv.includes('--fresh')) rmSync(NEWEST, { recursive: true, force: true });
  await install();
  const scenarios = readdirSync(SCENARIOS);
  for (const file of scenarios) copyFileSync(join(SCENARIOS, file), join(NEWEST, file));
  const tests = scenarios.map((file) => join('test', 'clients', file.replace('.mjs', '.test.ts')));
  const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const env = { ...process.env, NEWEST_CLIENTS: NEWEST };
  const child = spawn(process.execPath, [vitest, 'run', ...tests], { cwd: ROOT, stdio: 'inherit', env });
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
});

async function install() {
  const node = join(NEWEST, 'bin', 'node');
  if (!existsSync(node)) {
    say(`Installing the newest ${PACKAGES.join(', ')} and a Node for them …`);
    mkdirSync(join(NEWEST, 'bin'), { recursive: true });
    writeFileSync(join(NEWEST, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
    const args = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
    try {
      await runBeside('npm', [...args, `${NODE}@24`, ...PACKAGES.map((name) => `${name}@latest`)], { cwd: NEWEST });
    } catch {
      throw new SetupError('The newest packages could not be installed.', 'Read the message of npm above.');
    }
    symlinkSync(join('..', 'node_modules', NODE, 'bin', 'node'), node);
  }
  for (const name of [NODE, ...PACKAGES]) {
    const { version } = JSON.parse(readFileSync(join(NEWEST, 'node_modules', name, 'package.json'), 'utf8'));
    say(`${name} ${version}`);
  }
}
