/**
 * Goal: the Dedalus adapter keeps the port's contract against every generation of the API and both terminal protocols, and
 * through the API's known troubles. Method: the contract suite and the emulator's faults, one emulator for each generation; and,
 * where DEDALUS_CONTRACT_BASE_URL and DEDALUS_CONTRACT_API_KEY are set, the suite against the real cloud.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startEmulator, type Profile, type RunningEmulator } from '../../src/emulator/index.js';
import { PROFILES } from '../../src/emulator/options.js';
import { createDedalusProvider, type DedalusProviderOptions } from '../../src/machines/dedalus/provider.js';
import type { Machine, MachineProvider } from '../../src/machines/provider.js';
import { EmulatorAdmin } from '../support/emulator-admin.js';
import { uuidv7 } from '../support/keys.js';
import { describeProvider, failureCode, run, textOf, untilPhase } from './provider-suite.js';
import { waitFor } from '../support/wait-for.js';

const quiet = { info() {}, warn() {}, error() {} };
const size = { vcpu: 1, memoryMib: 2_048, storageGib: 10, autosleepSeconds: 900 };

interface Emulated {
  readonly emulator: RunningEmulator;
  readonly admin: EmulatorAdmin;
  provider(extra?: Partial<DedalusProviderOptions>): MachineProvider;
  close(): Promise<void>;
}

function dedalus(baseUrl: string, apiKey: string, extra: Partial<DedalusProviderOptions> = {}): MachineProvider {
  return createDedalusProvider({
    baseUrl,
    apiKey,
    takesAutosleep: 'auto',
    sendIfMatch: true,
    terminalProtocol: 'auto',
    requestTimeoutMs: 30_000,
    newKey: uuidv7,
    ...extra,
  });
}

async function emulate(profile: Profile, settings: object): Promise<Emulated> {
  const dataDir = await mkdtemp(join(tmpdir(), 'contract-'));
  const emulator = await startEmulator({ profile, dataDir, port: 0, log: quiet });
  const admin = new EmulatorAdmin(emulator.url, emulator.apiKey);
  await admin.call('PUT', '/_emulator/settings', { createMs: 100, wakeMs: 100, sleepMs: 50, ...settings });
  return {
    emulator,
    admin,
    provider: (extra) => dedalus(emulator.url, emulator.apiKey, extra),
    async close() {
      await emulator.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

const kinds: [Profile, 'D' | 'J', 'auto' | 'D' | 'J'][] = [
  ['g2', 'J', 'auto'],
  ['g2', 'D', 'auto'],
  ['g3', 'J', 'D'],
  ['g3', 'D', 'J'],
  ['g5', 'J', 'J'],
  ['g5', 'D', 'D'],
  ['g6', 'J', 'auto'],
];

for (const [profile, terminalProtocol, configured] of kinds) {
  describeProvider(`${profile}, sockets speak ${terminalProtocol}, configured ${configured}`, async () => {
    const emulated = await emulate(profile, { terminalProtocol });
    return {
      provider: emulated.provider({ terminalProtocol: configured }),
      hasTerminals: profile !== 'g6',
      hasAutosleep: profile !== 'g2',
      fences: true,
      close: emulated.close,
    };
  });
}

const cloudUrl = process.env['DEDALUS_CONTRACT_BASE_URL'];
const cloudKey = process.env['DEDALUS_CONTRACT_API_KEY'];
if (cloudUrl !== undefined && cloudKey !== undefined) {
  describeProvider('the real cloud', async () => ({
    provider: dedalus(cloudUrl, cloudKey),
    hasTerminals: undefined,
    hasAutosleep: undefined,
    fences: false,
    close: async () => {},
  }));
}

describe.each(PROFILES)('troubles of the API, as %s has them', (profile) => {
  let emulated: Emulated;
  let provider: MachineProvider;
  let machineId: string;

  beforeAll(async () => {
    emulated = await emulate(profile, {});
    provider = emulated.provider();
    ({ machineId } = await provider.create(size, keyed()));
    await untilPhase(provider, machineId, 'running');
    await run(provider, machineId, 'true');
  });
  afterEach(async () => {
    await emulated.admin.call('DELETE', '/_emulator/faults');
  });
  afterAll(async () => {
    await emulated.close();
  });

  function keyed(): { idempotencyKey: string } {
    return { idempotencyKey: uuidv7() };
  }

  async function fault(kind: string, route: string, extra: object = {}): Promise<void> {
    await emulated.admin.call('POST', '/_emulator/faults', { kind, match: { route }, ...extra });
  }

  async function fenced(): Promise<{ idempotencyKey: string; ifMatch: string | undefined }> {
    return { ...keyed(), ifMatch: (await provider.find(machineId))!.revision };
  }

  async function created(): Promise<number> {
    return (await emulated.admin.ledger()).filter((entry) => entry.kind === 'machine.created').length;
  }

  async function ensure(phase: 'running' | 'sleeping'): Promise<void> {
    const machine = await provider.find(machineId);
    if (machine?.phase !== phase) await provider[phase === 'running' ? 'wake' : 'sleep'](machineId, await fenced());
    await untilPhase(provider, machineId, phase);
  }

  test('finding out about autosleep creates nothing', async () => {
    const before = await created();
    await emulated.provider().settle();
    expect(await created()).toBe(before);
  });

  test.each([
    ['the answer is lost', 'response-lost'],
    ['the answer is cut', 'cut-json'],
    ['the answer is 500 after the commit', 'error-after-commit'],
  ])('a creation of which %s makes one machine when it is repeated with its key', async (_, kind) => {
    const before = await created();
    const options = keyed();
    await fault(kind, 'machines.create');
    expect(await failureCode(provider.create(size, options))).toBe('PROVIDER_UNAVAILABLE');
    const { machineId: id } = await provider.create(size, options);
    expect(await created()).toBe(before + 1);
    await untilPhase(provider, id, 'running');
    await provider.destroy(id, { ...keyed(), ifMatch: (await provider.find(id))!.revision });
  });

  test('a delete that answers 500 after it was committed has succeeded', async () => {
    const { machineId: id } = await provider.create(size, keyed());
    await untilPhase(provider, id, 'running');
    await fault('error-after-commit', 'machines.delete');
    await provider.destroy(id, { ...keyed(), ifMatch: (await provider.find(id))!.revision });
    await waitFor('machine gone', async () => (await provider.find(id)) === undefined);
  });

  test('a conflict over the revision is a conflict, and the next try with the new revision wins', async () => {
    await ensure('running');
    await fault('revision-conflict', 'machines.sleep');
    expect(await failureCode(provider.sleep(machineId, await fenced()))).toBe('REVISION_CONFLICT');
    await provider.sleep(machineId, await fenced());
    await untilPhase(provider, machineId, 'sleeping');
    await fault('status', 'machines.wake', { status: 412 });
    expect(await failureCode(provider.wake(machineId, await fenced()))).toBe('REVISION_CONFLICT');
    await ensure('running');
  });

  test('wake refused for want of an internal signature goes by an execution; sleep is left to autosleep', async () => {
    await ensure('sleeping');
    await fault('internal-signature', 'machines.wake');
    await provider.wake(machineId, await fenced());
    await untilPhase(provider, machineId, 'running');
    await fault('internal-signature', 'machines.sleep');
    expect(await failureCode(provider.sleep(machineId, await fenced()))).toBe('PROVIDER_ROUTE_CLOSED');
  });

  test('a machine that runs and is not routable yet is unreachable, with 503 or inside a document', async () => {
    await ensure('running');
    const request = { argv: ['/bin/true'], timeoutMs: 5_000 };
    await fault('not-routable-503', 'executions.create');
    expect(await failureCode(provider.execute(machineId, request, keyed()))).toBe('PROVIDER_UNAVAILABLE');
    for (const code of ['machine_not_routable', 'machine_not_found', 'host_agent_execute_failed']) {
      await fault('execution-refusal', 'executions.create', { code });
      expect(await failureCode(provider.execute(machineId, request, keyed()))).toBe('GUEST_UNREACHABLE');
    }
    expect((await provider.execute(machineId, request, keyed())).exitCode).toBe(0);
  });

  test('retry hints in the body and in headers are passed on', async () => {
    await fault('status', 'machines.get', { status: 429, retryAfterMs: 84 });
    await expect(provider.find(machineId)).rejects.toMatchObject({ code: 'PROVIDER_RATE_LIMITED', retryAfterMs: 84 });
    await fault('status', 'machines.get', { status: 503, retryAfterHeaderMs: 700 });
    await expect(provider.find(machineId)).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE', retryAfterMs: 700 });
  });

  test('a key in flight is asked again later', async () => {
    const options = keyed();
    await fault('delay', 'machines.create', { delayMs: 500 });
    const first = provider.create(size, options);
    await waitFor('the fault to strike', async () =>
      (await emulated.admin.ledger()).some((entry) => entry.kind === 'fault.hit' && entry['fault'] === 'delay'),
    );
    await expect(provider.create(size, options)).rejects.toMatchObject({
      code: 'PROVIDER_RATE_LIMITED',
      retryAfterMs: 250,
    });
    const { machineId: id } = await first;
    await untilPhase(provider, id, 'running');
    await provider.destroy(id, { ...keyed(), ifMatch: (await provider.find(id))!.revision });
  });

  test('null items and unknown phases are read for what they are', async () => {
    await fault('null-items', 'machines.list');
    expect((await provider.list()).machines).toEqual([]);
    await fault('unknown-phase', 'machines.get', { phase: 'wake_pending' });
    expect((await provider.find(machineId))?.phase).toBe('in_transition' satisfies Machine['phase']);
  });

  test('a wrong key is said to be wrong', async () => {
    const stranger = dedalus(emulated.emulator.url, 'dsk-local-wrong');
    expect(await failureCode(stranger.find(machineId))).toBe('PROVIDER_UNAUTHORIZED');
    expect(await failureCode(stranger.create(size, keyed()))).toBe('PROVIDER_UNAUTHORIZED');
  });

  if (profile !== 'g6') {
    test('a terminal wakes its machine, and its end is noticed', async () => {
      await ensure('sleeping');
      const opened = await provider.openTerminal(machineId, { columns: 100, rows: 30 }, keyed());
      const text = textOf(opened);
      opened.write(Buffer.from('echo "woken:$((1 + 1))"\n'));
      await waitFor('output', () => text().includes('woken:2'));
      await provider.sleep(machineId, await fenced());
      await opened.closed;
      expect(() => opened.write(Buffer.from('x'))).toThrow();
      await opened.close();
    });
  } else {
    test('memory autoresizing is off on what was created', async () => {
      const response = await fetch(`${emulated.emulator.url}/v1/machines/${machineId}/autoresizing`, {
        headers: { 'x-api-key': emulated.emulator.apiKey },
      });
      expect(await response.json()).toMatchObject({ enabled: false });
    });
  }
});
