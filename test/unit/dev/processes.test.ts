/**
 * Processes: one is ended with all that it started, politely first; a number that another process got since is left alone; a port's
 * holder is named.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InnkeeperError } from '../../../src/contracts/errors.js';
import { endProcesses } from '../../../src/dev/end-processes.js';
import { assertPortFree, pickFreePorts } from '../../../src/dev/ports.js';
import { identityOf, isRunning } from '../../../src/dev/process-identity.js';
import { startProcess, type RunningProcess } from '../../../src/dev/process.js';
import { waitFor } from '../../support/wait-for.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'innkeeper-process-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function shell(script: string): Promise<{ process: RunningProcess; lines: string[] }> {
  const lines: string[] = [];
  const process = await startProcess({
    label: 'shell',
    command: '/bin/sh',
    args: ['-c', script],
    env: { PATH: '/usr/bin:/bin' },
    logFile: join(folder, 'shell.log'),
    onLine: (line) => lines.push(line),
  });
  return { process, lines };
}

describe('startProcess', () => {
  it('ends a process with its children', async () => {
    const { process, lines } = await shell('sleep 1000 & echo $!; wait');
    await waitFor('the child runs', () => lines.length > 0);
    const child = identityOf(Number(lines[0]));
    expect(await process.stop()).toEqual({ code: null, signal: 'SIGTERM' });
    await waitFor('the child is gone', () => child !== undefined && !isRunning(child));
  });

  it('kills what does not heed the polite signal', async () => {
    const { process, lines } = await shell("trap '' TERM; echo deaf; while :; do sleep 0.05; done");
    await waitFor('it has set its trap', () => lines.length > 0);
    expect(await process.stop({ graceMs: 50 })).toEqual({ code: null, signal: 'SIGKILL' });
    expect(process.hasExited()).toBe(true);
  });

  it('does not let children outlive a process that ends by itself', async () => {
    const { process, lines } = await shell('sleep 1000 & echo $!; exit 3');
    expect(await process.exited).toEqual({ code: 3, signal: null });
    await waitFor('the child is gone', () => lines.length > 0 && identityOf(Number(lines[0])) === undefined);
    expect(await process.stop()).toEqual({ code: 3, signal: null });
  });

  it('keeps the end of what was printed, for the error message', async () => {
    const { process } = await shell('echo it went wrong >&2; exit 1');
    await process.exited;
    expect(process.logTail()).toContain('it went wrong');
  });

  it('rejects a program that is not there', async () => {
    const options = { label: 'none', command: '/nowhere', args: [], env: {}, logFile: join(folder, 'none.log') };
    await expect(startProcess(options)).rejects.toThrow('ENOENT');
  });
});

describe('endProcesses', () => {
  it('ends exactly the process that was meant', async () => {
    const { process } = await shell('sleep 1000');
    const identity = identityOf(process.pid);
    if (identity === undefined) throw new Error('it runs, so it has an identity');
    // The same number, another start: what would be left after the number was given to somebody else.
    expect(await endProcesses([{ label: 'shell', ...identity, startTime: '1' }])).toEqual([]);
    expect(isRunning(identity)).toBe(true);
    expect(await endProcesses([{ label: 'shell', ...identity }])).toHaveLength(1);
    await process.exited;
    expect(isRunning(identity)).toBe(false);
  });

  it('knows this process by its start', () => {
    expect(identityOf(process.pid)).toEqual({ pid: process.pid, startTime: expect.stringMatching(/^\d+$/) as string });
    expect(readFileSync(`/proc/${process.pid}/stat`, 'utf8')).toContain(` ${identityOf(process.pid)?.startTime} `);
  });
});

describe('ports', () => {
  it('are picked free and different', async () => {
    const ports = await pickFreePorts(4);
    expect(new Set(ports).size).toBe(4);
    for (const port of ports) await assertPortFree(port, 'a test');
  });

  it('name the port, its purpose and its holder when taken', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const error = await assertPortFree(port, 'Postgres').catch((caught: unknown) => caught);
    server.close();
    expect(error).toBeInstanceOf(InnkeeperError);
    expect(error).toMatchObject({ code: 'PORT_IN_USE', details: { port } });
    expect((error as Error).message).toMatch(
      new RegExp(`^Port ${port} for Postgres is taken by .+ \\(process ${process.pid}\\)\\.$`),
    );
  });
});
