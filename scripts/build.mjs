/** `npm run build`: dist/, also where nothing changed. */
import { build } from './setup/build.mjs';
import { ensure, runScript } from './setup/index.mjs';
import { withSetupLock } from './setup/lock.mjs';

runScript(async () => {
  await ensure({ tools: [], build: false });
  await withSetupLock(() => build.make());
});
