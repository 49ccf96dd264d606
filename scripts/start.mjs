/** `npm start`: `innkeeper dev` in this clone. */
import { runCli } from './setup/cli.mjs';

runCli(['dev', ...process.argv.slice(2)]);
