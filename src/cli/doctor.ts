/** `innkeeper doctor`: checks every part of the deployment and says what to do about each that is not well. */
import type { Command } from 'commander';
import type { CheckResult } from './doctor-checks.js';
import { print, withCommonOptions, type CommonOptions } from './command.js';
import { deploymentEnvironment, nothingRuns, readRun } from './deployment.js';

export function addDoctor(program: Command): void {
  withCommonOptions(program.command('doctor').description('check every part and say what to do'))
    .option('--no-model', 'do not ask the model for an answer, which may cost')
    .action(async (options: CommonOptions & { readonly model: boolean }) => {
      const { checkDeployment } = await import('./doctor-checks.js');
      const results = await checkDeployment(deploymentEnvironment(options), { asksModel: options.model });
      const isWell = results.every(({ state }) => state !== 'failed');
      print({ ok: isWell, checks: results }, options, () => results.map(toText).join('\n'));
      if (results[0]?.state === 'failed' && readRun(options.data) === undefined) {
        process.stderr.write(`${nothingRuns(options)}\n`);
      }
      if (!isWell) process.exitCode = 1;
    });
}

const MARKS = { ok: 'ok  ', warning: 'WARN', failed: 'FAIL', skipped: 'skip' } as const;

function toText({ name, state, detail, advice }: CheckResult): string {
  const lines = [`${MARKS[state]}  ${name}: ${detail}`, ...(advice === undefined ? [] : [`      ${advice}`])];
  return lines.join('\n');
}
