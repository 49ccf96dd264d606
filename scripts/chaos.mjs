/** `npm run chaos -- --seed S …`: set-up, then the fault suite of test/chaos/. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ensure, NEEDS, runScript } from './setup/index.mjs';
import { ROOT } from './setup/paths.mjs';

runScript(async () => {
  await ensure({ tools: NEEDS.run });
  const suite = join(ROOT, 'test', 'chaos', 'main.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', suite, ...process.argv.slice(2)], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  // A Ctrl-C reaches the suite by itself; wait for it to stop what it started.
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
});
