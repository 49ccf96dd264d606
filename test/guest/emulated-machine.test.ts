/**
 * The guest on the emulator's machines, through the real adapter: the whole way from bootstrap to sleep. Method: real sandboxes, both
 * terminal protocols and a generation of the API without terminals; cold and warm sleep; faults of the provider's own making are
 * tested where the adapter is.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEmulator, type RunningEmulator } from '../../src/emulator/index.js';
import { createGuest } from '../../src/guest/create-guest.js';
import type { Guest, GuestAttachment } from '../../src/guest/guest.js';
import { createDedalusProvider } from '../../src/machines/dedalus/provider.js';
import type { MachineProvider } from '../../src/machines/provider.js';
import { EmulatorAdmin } from '../support/emulator-admin.js';
import { uuidv7 } from '../support/keys.js';
import { waitFor } from '../support/wait-for.js';
import { deadline } from './support/attached.js';
import { command, finished, text } from './support/commands.js';

const quiet = { info() {}, warn() {}, error() {} };
const KINDS = [
  { profile: 'g2', terminalProtocol: 'J' },
  { profile: 'g3', terminalProtocol: 'D' },
  { profile: 'g6', terminalProtocol: 'J' },
] as const;

describe.each(KINDS)('a machine of $profile, terminals speak $terminalProtocol', ({ profile, terminalProtocol }) => {
  let emulator: RunningEmulator;
  let admin: EmulatorAdmin;
  let dataDir: string;
  let machines: MachineProvider;
  let guest: Guest;
  let machineId: string;
  let attachment: GuestAttachment;
  let number = 0;

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'guest-emulator-'));
    emulator = await startEmulator({ profile, dataDir, port: 0, log: quiet });
    admin = new EmulatorAdmin(emulator.url, emulator.apiKey);
    await admin.call('PUT', '/_emulator/settings', { createMs: 50, wakeMs: 50, sleepMs: 50, terminalProtocol });
    machines = createDedalusProvider({
      baseUrl: emulator.url,
      apiKey: emulator.apiKey,
      takesAutosleep: 'auto',
      sendIfMatch: true,
      terminalProtocol: 'auto',
      requestTimeoutMs: 30_000,
      newKey: uuidv7,
    });
    guest = createGuest({ machines, newKey: uuidv7 });
    const size = { vcpu: 1, memoryMib: 2_048, storageGib: 10, autosleepSeconds: undefined };
    ({ machineId } = await machines.create(size, { idempotencyKey: uuidv7() }));
    await untilPhase('running');
    await attach();
  });
  afterAll(async () => {
    await attachment.close();
    await emulator.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  async function untilPhase(phase: string): Promise<void> {
    await waitFor(`the machine to be ${phase}`, async () => (await machines.find(machineId))?.phase === phase);
  }
  async function attach(): Promise<void> {
    number += 1;
    const request = { machineId, attachment: number, ownerNonce: 'owner', signal: deadline() };
    attachment = await guest.attach(request);
  }
  async function run(script: string): Promise<string> {
    const status = await attachment.run(command(script), { submittedBootId: undefined, signal: deadline() });
    return text(finished(status));
  }
  async function change(verb: 'sleep' | 'wake', phase: string): Promise<void> {
    const machine = await machines.find(machineId);
    await machines[verb](machineId, { idempotencyKey: uuidv7(), ifMatch: machine?.revision });
    await untilPhase(phase);
  }

  test('bootstrap and the attachment agree on who the machine is, and a second run changes nothing', async () => {
    const call = () => ({ idempotencyKey: uuidv7(), signal: deadline(), expectsHome: true });
    const { missing, ...identity } = await guest.bootstrap(machineId, call());
    expect(identity).toEqual(attachment.identity);
    const known = ['curl', 'git', 'python3-pip', 'nodejs'];
    expect(known).toEqual(expect.arrayContaining([...missing]));
    expect(await guest.bootstrap(machineId, call())).toEqual({ ...identity, missing });
  });

  test('bootstrap leaves an empty home alone where one is expected, and takes one that is merely without our part', async () => {
    const isEmpty = async () => {
      const call = { idempotencyKey: uuidv7(), signal: deadline(), expectsHome: true };
      return (await guest.bootstrap(machineId, call)).isHomeEmpty === true;
    };
    // The runner's folder is put aside while the runner is at work.
    const withHome = async (prepare: string) => {
      const script = `set -e; mkdir -p /tmp/aside; mv ~/.[!.]* /tmp/aside/ || :; ${prepare}`;
      const argv = ['/bin/bash', '-c', script];
      await machines.execute(machineId, { argv, timeoutMs: 10_000 }, { idempotencyKey: uuidv7() });
      const found = await isEmpty();
      const back = ['/bin/bash', '-c', 'rm -rf ~/* ~/.bash_logout ~/.cache ~/.innkeeper; mv /tmp/aside/.[!.]* ~/'];
      await machines.execute(machineId, { argv: back, timeoutMs: 10_000 }, { idempotencyKey: uuidv7() });
      return found;
    };
    expect(await withHome('true')).toBe(true);
    expect(await withHome('touch ~/.bash_logout; mkdir ~/.cache')).toBe(true);
    expect(await withHome('touch ~/notes')).toBe(false);
    expect(await isEmpty()).toBe(false);
  });

  test('commands run, with their context and their true output', async () => {
    expect(await run('cd /tmp; export COLOUR=red; echo $HOME')).toBe(`${attachment.identity.home}\n`);
    expect(await run('pwd; echo $COLOUR')).toBe('/tmp\nred\n');
    const status = await attachment.run(command(String.raw`printf '\000\377\r\n'; head -c 200000 /dev/urandom`), {
      submittedBootId: undefined,
      signal: deadline(),
    });
    expect(finished(status).output.totalBytes).toBe(200_004);
  });

  test('a large script crosses', async () => {
    expect(await run(`wc -c <<'END'\n${'x'.repeat(250_000)}\nEND`)).toBe('250001\n');
  });

  test('a running command is stopped, its descendants too', async () => {
    const which = command('echo begun; sleep 300 & sleep 300');
    const waiting = attachment.run(which, { submittedBootId: undefined, signal: deadline() });
    await waitFor('the command to run', async () =>
      (await run('ls .innkeeper/journal || ls ~/.innkeeper/journal')).includes(`${which.cmdId}.started`),
    );
    const stopped = finished(await attachment.stop(which.cmdId, { submittedBootId: undefined, signal: deadline() }));
    expect(stopped).toMatchObject({ stopped: true, signal: 'SIGTERM' });
    expect(finished(await waiting)).toEqual(stopped);
    expect(await run('cat /proc/[0-9]*/comm 2>/dev/null | grep -c "^sleep$"')).toBe('0\n');
  });

  test('a cold sleep keeps files, directory, variables and history; the attachment is broken, the boot another', async () => {
    await run('mkdir -p ~/kept && cd ~/kept && export COLOUR=blue && echo text >file');
    const { bootId } = attachment.identity;
    const old = attachment;
    await change('sleep', 'sleeping');
    await change('wake', 'running');
    if (profile !== 'g6') await waitFor('the terminal to have ended', () => old.isBroken);
    await attach();
    expect(attachment.identity.bootId).not.toBe(bootId);
    expect(await run('pwd; echo $COLOUR; cat file; tail -n 1 ~/.bash_history')).toMatch(
      /\/kept\nblue\ntext\npwd; echo/,
    );
  });

  test('a warm sleep keeps a running command', async () => {
    await admin.call('PUT', '/_emulator/settings', { sleepMode: 'warm' });
    const which = command('echo begun; for i in 1 2 3 4 5 6 7 8; do sleep 0.2; done; echo done');
    const { bootId } = attachment.identity;
    const controller = new AbortController();
    const waiting = attachment.run(which, { submittedBootId: undefined, signal: controller.signal });
    await waitFor('the command to run', async () =>
      (await run('ls ~/.innkeeper/journal')).includes(`${which.cmdId}.started`),
    );
    controller.abort(new Error('left alone'));
    await expect(waiting).rejects.toThrow('left alone');
    await change('sleep', 'sleeping');
    await change('wake', 'running');
    await attach();
    expect(attachment.identity.bootId).toBe(bootId);
    const status = await attachment.run(which, { submittedBootId: bootId, signal: deadline() });
    expect(text(finished(status))).toBe('begun\ndone\n');
  });
});
