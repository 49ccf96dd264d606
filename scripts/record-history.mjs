/** `npm run replay:record [-- --again]`: records histories for the replay tests (test/replay/record.ts says what and why). */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ensure, NEEDS, runScript } from './setup/index.mjs';
import { ROOT } from './setup/paths.mjs';

runScript(async () => {
  await ensure({ tools: NEEDS.test, build: false });
  const recorder = join(ROOT, 'test', 'replay', 'record.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', recorder, ...process.argv.slice(2)], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  // A Ctrl-C reaches the recorder by itself; wait for it to stop what it started.
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
});
