/**
 * `npm run test:live`: the contract suite of the machines API against the vendor's cloud. It creates machines there and deletes
 * them; it needs DEDALUS_CONTRACT_BASE_URL and DEDALUS_CONTRACT_API_KEY.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ensure, NEEDS, runScript } from './setup/index.mjs';
import { ROOT } from './setup/paths.mjs';
import { SetupError } from './setup/say.mjs';

const SETTINGS = ['DEDALUS_CONTRACT_BASE_URL', 'DEDALUS_CONTRACT_API_KEY'];

runScript(async () => {
  const missing = SETTINGS.filter((name) => !process.env[name]);
  if (missing.length > 0) throw new SetupError('The live tests need an account.', `Set ${missing.join(' and ')}.`);
  await ensure({ tools: NEEDS.run });
  const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const child = spawn(process.execPath, [vitest, 'run', 'test/contract'], { cwd: ROOT, stdio: 'inherit' });
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
});
