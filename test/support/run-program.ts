/** Programs as a person types them: started and heard to their end. Nothing of the test's environment is inherited but the path. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface ProgramEnd {
  /** null: a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Program {
  /** What it has said so far. */
  readonly said: Readonly<Pick<ProgramEnd, 'stdout' | 'stderr'>>;
  /** Rejects where it cannot be started. */
  readonly ended: Promise<ProgramEnd>;
}

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Then it is killed: a program that hangs is to fail with what it has said. */
  readonly timeoutMs: number;
}

export function startProgram(
  command: string,
  args: readonly string[],
  { cwd, env = {}, timeoutMs }: ProgramOptions,
): Program {
  const child = spawn(command, args, {
    ...(cwd === undefined ? {} : { cwd }),
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...{ timeout: timeoutMs, killSignal: 'SIGKILL' },
  });
  const said = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
  const end = async (): Promise<ProgramEnd> => {
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, ...said };
  };
  return { said, ended: end() };
}

export function runProgram(command: string, args: readonly string[], options: ProgramOptions): Promise<ProgramEnd> {
  return startProgram(command, args, options).ended;
}
