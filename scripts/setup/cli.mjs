/** Sets up what a command of the CLI needs, then runs it in this process. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ensure, NEEDS, runScript } from './index.mjs';
import { DIST, ROOT } from './paths.mjs';

/** @param {string[]} args the command and its options */
export function runCli(args) {
  runScript(async () => {
    // What the environment says already wins over the file.
    const settings = join(ROOT, '.env');
    if (existsSync(settings)) process.loadEnvFile(settings);
    await ensure({ tools: toolsFor(args) });
    const cli = join(DIST, 'cli.js');
    process.argv.splice(1, process.argv.length, cli, ...args);
    await import(pathToFileURL(cli).href);
  });
}

/** @param {string[]} args */
function toolsFor(args) {
  if (args.includes('--help') || args.includes('-h')) return NEEDS.cli;
  const command = args.find((word) => !word.startsWith('-'));
  if (command === 'emulator') return NEEDS.emulator;
  return command === 'dev' ? NEEDS.run : NEEDS.cli;
}
