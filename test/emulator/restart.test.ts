/**
 * Goal: state survives a kill -9 at any moment, sandboxes do not. Method: the built emulator as a process of its own, killed and
 * started again on its data, also while many clients create machines.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL, fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitFor } from '../support/wait-for.js';
import { newKey, SIZES, TestEmulator } from './support.js';

const BUILT = fileURLToPath(new URL('../../dist/emulator/index.js', import.meta.url));
const PROGRAM = `
import { startEmulator } from ${JSON.stringify(pathToFileURL(BUILT).href)};
const options = { profile: 'g2', port: 0, log: { info() {}, warn() {}, error() {} } };
const running = await startEmulator({ ...options, dataDir: process.argv[1] });
console.log(JSON.stringify({ url: running.url, apiKey: running.apiKey }));
process.on('SIGTERM', () => running.close().then(() => process.exit(0)));
`;

interface Process {
  child: ChildProcess;
  emulator: TestEmulator;
}

let dataDir: string;
let started: ChildProcess[];
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'innkeeper-emulator-'));
  started = [];
});
afterEach(async () => {
  for (const child of started) await end(child, 'SIGKILL');
  rmSync(dataDir, { recursive: true, force: true });
});

async function launch(): Promise<Process> {
  if (!existsSync(BUILT)) throw new Error(`${BUILT} is missing: build first (npm test does)`);
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  started.push(child);
  let line = '';
  child.stdout.on('data', (bytes: Buffer) => (line += bytes.toString()));
  await waitFor('the emulator serves', () => {
    if (child.exitCode !== null) throw new Error(`the emulator ended with ${child.exitCode}`);
    return line.includes('\n');
  });
  const { url, apiKey } = JSON.parse(line) as { url: string; apiKey: string };
  const running = { url, apiKey, modelUrl: `${url}/v1`, close: () => end(child, 'SIGTERM') };
  const emulator = TestEmulator.over(running, dataDir, 'g2');
  await emulator.settings({ createMs: 20, wakeMs: 5, sleepMs: 5, destroyMs: 5 });
  return { child, emulator };
}

/** Processes that start or hold sandboxes of a data folder. */
function sandboxesOf(folder: string): number {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8');
      return words.includes('bwrap') && words.includes(folder);
    } catch {
      // It ended while we looked.
      return false;
    }
  }).length;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await ended;
}

describe('an emulator killed with -9', () => {
  it('comes back with its machines in a new boot, its terminals closed, its running commands without a result', async () => {
    const first = await launch();
    const awake = await first.emulator.machine();
    const asleep = await first.emulator.machine();
    await first.emulator.change(asleep, 'sleep');
    await first.emulator.phase(asleep, 'sleeping');
    await first.emulator.shell(awake, 'echo kept > ~/file; echo gone > /tmp/file');
    const done = await first.emulator.exec(awake, ['/bin/sh', '-c', 'echo result; exit 5']);
    const path = `/v1/machines/${awake}/executions`;
    const running = await first.emulator.call('POST', path, { body: { command: ['sleep', '1000'] } });
    const executionId = String(running.body['execution_id']);
    await waitFor('the command runs', async () => {
      return (await first.emulator.call('GET', `${path}/${executionId}`)).body['status'] === 'running';
    });
    const terminal = await first.emulator.terminal(awake);
    const before = await first.emulator.truth(awake);

    const frozen = await first.emulator.machine();
    await first.emulator.settings({ sleepMode: 'warm' });
    await first.emulator.change(frozen, 'sleep');
    const { initPid: frozenPid } = await first.emulator.phase(frozen, 'sleeping');
    const ledgerBefore = await first.emulator.ledger();

    await end(first.child, 'SIGKILL');
    await waitFor('the sandbox died with it', () => !existsSync(`/proc/${Number(before['initPid'])}`));
    await waitFor('the frozen one died too', () => !existsSync(`/proc/${Number(frozenPid)}`));

    const { emulator } = await launch();
    const after = await emulator.phase(awake, 'running');
    expect(after['bootId']).not.toBe(before['bootId']);
    expect(after['revision']).toBe(before['revision']);
    expect(await emulator.shell(awake, 'cat ~/file; cat /tmp/file 2>/dev/null')).toBe('kept\n');
    expect((await emulator.truth(asleep))['phase']).toBe('sleeping');

    await emulator.change(frozen, 'wake');
    await emulator.phase(frozen, 'running');

    const interrupted = (await emulator.call('GET', `${path}/${executionId}`)).body;
    expect(interrupted).toMatchObject({ status: 'failed', error_code: 'execution_interrupted' });
    expect(interrupted['exit_code']).toBeUndefined();
    const kept = await emulator.executionEnd(awake, String(done.document['execution_id']));
    expect([kept.document['exit_code'], kept.output['stdout']]).toEqual([5, 'result\n']);
    const terminalPath = `/v1/machines/${awake}/terminals/${String(terminal['terminal_id'])}`;
    expect((await emulator.call('GET', terminalPath)).body['status']).toBe('closed');

    const ledger = await emulator.ledger();
    expect(ledger.slice(0, ledgerBefore.length)).toEqual(ledgerBefore);
    expect(ledger.map((entry) => entry['seq'])).toEqual(ledger.map((_entry, index) => index + 1));
  });

  it('has one machine for each key that was sent, whenever it died', async () => {
    let { child, emulator } = await launch();
    const keys = Array.from({ length: 24 }, newKey);
    const create = (key: string) => emulator.call('POST', '/v1/machines', { body: SIZES, key }).catch(() => undefined);
    const burst = Promise.all(keys.map(create));
    await waitFor(
      'some are created',
      async () => (await emulator.ledger('machine.created').catch(() => [])).length >= 3,
    );
    await end(child, 'SIGKILL');
    const answers = await burst;
    await waitFor('no sandbox of it is left', () => sandboxesOf(dataDir) === 0);
    ({ child, emulator } = await launch());
    const retried = await Promise.all(keys.map(create));
    const ids = retried.map((answer) => String(answer?.body['machine_id']));
    expect(new Set(ids).size).toBe(keys.length);
    answers.forEach((answer, index) => {
      if (answer) expect(ids[index]).toBe(answer.body['machine_id']);
    });
    const created = (await emulator.ledger('machine.created')).map((entry) => String(entry['machineId']));
    expect(created.sort()).toEqual([...ids].sort());
  });

  it('leaves nothing running after an orderly end either', async () => {
    const { child, emulator } = await launch();
    const id = await emulator.machine();
    const pid = Number((await emulator.truth(id))['initPid']);
    await end(child, 'SIGTERM');
    expect(child.exitCode).toBe(0);
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(existsSync(join(dataDir, 'lock'))).toBe(false);
  });
});
