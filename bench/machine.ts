/** What the figures were measured on: printed beside them. */
import { execFileSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem, type as osType } from 'node:os';
import { PROJECT_ROOT } from '../src/dev/paths.js';

const BYTES_PER_GIB = 2 ** 30;

export function describeMachine(): string[] {
  const processors = cpus();
  const memory = (totalmem() / BYTES_PER_GIB).toFixed(0);
  return [
    `machine  ${processors.length} x ${processors[0]?.model.trim() ?? 'unknown processor'}, ${memory} GiB, ${osType()} ${release()}, Node ${process.version}`,
    `commit   ${describeCommit()}`,
    describeLoad(),
  ];
}

/** Load of the whole machine; with nothing else running it says that the figures are the stack's own. */
export function describeLoad(): string {
  const [one = 0, five = 0] = loadavg();
  return `load     ${one.toFixed(2)} (1 min), ${five.toFixed(2)} (5 min), at ${new Date().toISOString()}`;
}

function describeCommit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: PROJECT_ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    const isChanged = git('status', '--porcelain', '--', 'src', 'migrations', 'bench') !== '';
    return `${git('log', '-1', '--format=%h %s')}${isChanged ? ', with changes not committed' : ''}`;
  } catch {
    return 'unknown (not a git clone)';
  }
}
