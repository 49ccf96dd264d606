/** `npm run setup`: everything that any command needs, tests included. */
import { ensure, NEEDS, runScript } from './setup/index.mjs';
import { say } from './setup/say.mjs';

runScript(async () => {
  await ensure({ tools: NEEDS.all });
  say('Everything is set up.');
});
