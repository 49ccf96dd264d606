/** `npm test`: set-up, then every test; `npm test -- path` narrows. What stands after the name goes to vitest. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ensure, NEEDS, runScript } from './setup/index.mjs';
import { ROOT } from './setup/paths.mjs';

runScript(async () => {
  await ensure({ tools: NEEDS.test });
  const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const child = spawn(process.execPath, [vitest, 'run', ...process.argv.slice(2)], { cwd: ROOT, stdio: 'inherit' });
  // A Ctrl-C reaches vitest by itself; wait for it to stop what it started.
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
});
