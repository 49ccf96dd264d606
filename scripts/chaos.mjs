/** `npm run chaos -- --seed S …`, `chaos:planted`, `chaos:races`: set-up, then that program of the fault suite in test/chaos/. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ensure, NEEDS, runScript } from './setup/index.mjs';
import { ROOT } from './setup/paths.mjs';

runScript(async () => {
  await ensure({ tools: NEEDS.run });
  const [program, ...args] = process.argv.slice(2);
  const suite = join(ROOT, 'test', 'chaos', `${program}.ts`);
  const child = spawn(process.execPath, ['--import', 'tsx', suite, ...args], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  // A Ctrl-C reaches the suite by itself; wait for it to stop what it started.
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
});
