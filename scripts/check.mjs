/**
 * `npm run check [-- --json FILE]`: format, typed lint, types, dependency rules, unused code and the compose file. Every check
 * runs, whatever the others say; what one of them finds is printed.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensure, NEEDS, readTools, runScript } from './setup/index.mjs';
import { ROOT } from './setup/paths.mjs';
import { say } from './setup/say.mjs';

/** Name, and the command: a program of node_modules, or an absolute path. */
const bin = (/** @type {string} */ name) => join(ROOT, 'node_modules', '.bin', name);

runScript(async () => {
  const { values } = parseArgs({ options: { json: { type: 'string' } } });
  await ensure({ tools: NEEDS.check, build: false });
  const compose = String(readTools().dockerCompose);
  const subcommand = basename(compose) === 'docker' ? ['compose'] : [];
  /** @type {[name: string, command: string, ...args: string[]][]} */
  const checks = [
    ['format', bin('prettier'), '--check', '.'],
    ['lint', bin('oxlint'), '--type-aware', '--deny-warnings'],
    ['types', bin('tsc'), '--noEmit'],
    ['types of scripts', bin('tsc'), '-p', 'tsconfig.scripts.json'],
    ['types of the page', bin('tsc'), '-p', 'web/tsconfig.json'],
    ['dependency rules', bin('depcruise'), 'src', '--config', '.dependency-cruiser.cjs'],
    ['unused code', bin('knip'), '--no-progress'],
    // By profile, so that the emulator's part is looked at too.
    ['compose file', compose, ...subcommand, '--profile', 'emulator', 'config', '-q'],
  ];
  const failed = [];
  for (const [name, command, ...args] of checks) {
    const { ok, output } = await runCheck(command, args);
    say(`${ok ? 'ok  ' : 'FAIL'}  ${name}`);
    if (!ok) {
      failed.push(name);
      say(output);
    }
  }
  if (values.json !== undefined) {
    writeFileSync(values.json, JSON.stringify({ passed: checks.length - failed.length, broken: failed }));
  }
  process.exitCode = failed.length === 0 ? 0 : 1;
});

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<{ ok: boolean, output: string }>}
 */
function runCheck(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    child.once('error', (error) => resolve({ ok: false, output: error.message }));
    child.once('close', (code) => resolve({ ok: code === 0, output }));
  });
}
