/** `npm run -s innkeeper -- …`: the command in this clone. */
import { runCli } from './setup/cli.mjs';

runCli(process.argv.slice(2));
