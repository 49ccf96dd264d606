/** `npm run bench [-- --json FILE] [--only NAME]`: set-up, then the measurements of bench/. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ensure, NEEDS, runScript } from './setup/index.mjs';
import { ROOT } from './setup/paths.mjs';

runScript(async () => {
  await ensure({ tools: NEEDS.run });
  const child = spawn(process.execPath, ['--import', 'tsx', join(ROOT, 'bench', 'main.ts'), ...process.argv.slice(2)], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
});
