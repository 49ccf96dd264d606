/** Goal: what survives sleep and what does not, cold and warm; autosleep by the moved clock. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { waitFor } from '../support/wait-for.js';
import { TerminalSocket, TestEmulator } from './support.js';

let emulator: TestEmulator;
beforeAll(async () => {
  emulator = await TestEmulator.start('g3');
});
afterAll(() => emulator.stop());
beforeEach(() => emulator.settings({ sleepMode: 'cold', terminalHoldsAwake: false }));

const BOOT_ID = 'cat /proc/sys/kernel/random/boot_id';

async function sleepAndWake(id: string): Promise<void> {
  await emulator.change(id, 'sleep');
  await emulator.phase(id, 'sleeping');
  await emulator.change(id, 'wake');
  await emulator.phase(id, 'running');
}

describe('a cold sleep', () => {
  it('keeps the home and nothing else, and ends in a new boot', async () => {
    const id = await emulator.machine();
    await emulator.shell(id, 'for d in ~ /tmp /root /workspace /var /etc; do echo kept > $d/mark; done');
    await emulator.shell(id, 'setsid sleep 7777 >/dev/null 2>&1 &');
    const bootBefore = await emulator.shell(id, BOOT_ID);
    await sleepAndWake(id);
    expect(
      await emulator.shell(id, 'ls -d ~/mark /tmp/mark /root/mark /workspace/mark /var/mark /etc/mark 2>/dev/null'),
    ).toBe('/home/machine/mark\n');
    expect(await emulator.shell(id, 'pgrep -fx "sleep 7777" || echo none')).toBe('none\n');
    const bootAfter = await emulator.shell(id, BOOT_ID);
    expect(bootAfter).not.toBe(bootBefore);
    expect(bootAfter.trim()).toBe((await emulator.truth(id))['bootId']);
  });

  it('leaves no process on the host while the machine sleeps', async () => {
    const id = await emulator.machine();
    const pid = Number((await emulator.truth(id))['initPid']);
    expect(readFileSync(`/proc/${pid}/comm`, 'utf8').trim()).toBe('init');
    await emulator.change(id, 'sleep');
    const asleep = await emulator.phase(id, 'sleeping');
    expect(asleep['initPid']).toBe(null);
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });
});

describe('a warm sleep', () => {
  it('keeps memory, processes and boot id; input typed meanwhile is refused, not lost', async () => {
    await emulator.settings({ sleepMode: 'warm' });
    const id = await emulator.machine();
    const terminal = await emulator.terminal(id);
    const socket = await new TerminalSocket(String(terminal['stream_url'])).opened();
    socket.typeJ('word=kept; while sleep 0.01; do date +%s%N > ~/ticks; done &\n');
    await waitFor('the loop runs', async () => (await emulator.shell(id, 'cat ~/ticks 2>/dev/null')) !== '');
    const bootBefore = await emulator.shell(id, BOOT_ID);
    const home = String((await emulator.truth(id))['homePath']);
    await emulator.change(id, 'sleep');
    expect(await socket.closes()).toBe(1001);
    await emulator.phase(id, 'sleeping');
    const frozenAt = readFileSync(`${home}/ticks`, 'utf8');
    // The API stays alive while the guest stands still: ten answers later it still has not moved.
    for (let asked = 0; asked < 10; asked += 1) await emulator.truth(id);
    expect(readFileSync(`${home}/ticks`, 'utf8')).toBe(frozenAt);
    await emulator.change(id, 'wake');
    await emulator.phase(id, 'running');
    expect(await emulator.shell(id, BOOT_ID)).toBe(bootBefore);
    await waitFor('the loop goes on', () => readFileSync(`${home}/ticks`, 'utf8') !== frozenAt);
    const again = await new TerminalSocket(String(terminal['stream_url'])).opened();
    again.typeJ('echo word=$word\n');
    await again.sees('word=kept');
    await emulator.change(id, 'delete');
    await emulator.phase(id, 'destroyed');
  });

  it('can be destroyed while it is frozen', async () => {
    await emulator.settings({ sleepMode: 'warm' });
    const id = await emulator.machine();
    const pid = Number((await emulator.truth(id))['initPid']);
    await emulator.change(id, 'sleep');
    await emulator.phase(id, 'sleeping');
    await emulator.change(id, 'delete');
    await emulator.phase(id, 'destroyed');
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });
});

describe('autosleep', () => {
  const advance = (ms: number) => emulator.admin('POST', '/clock', { advanceMs: ms });

  it('comes after the idle time of the moved clock, and raises the revision', async () => {
    const id = await emulator.machine();
    await advance(299_000);
    expect((await emulator.truth(id))['phase']).toBe('running');
    await advance(2_000);
    const asleep = await emulator.phase(id, 'sleeping');
    expect(asleep['revision']).toBe(2);
    const desired = (await emulator.ledger('machine.desired')).filter((entry) => entry['machineId'] === id);
    expect(desired.map((entry) => entry['cause'])).toEqual(['autosleep']);
  });

  it('is put off by executions and by typing, not by background processes or a silent socket', async () => {
    const id = await emulator.machine();
    await emulator.shell(id, 'setsid sleep 8888 >/dev/null 2>&1 &');
    const terminal = await emulator.terminal(id);
    const socket = await new TerminalSocket(String(terminal['stream_url'])).opened();
    await advance(200_000);
    await emulator.shell(id, 'true');
    await advance(200_000);
    expect((await emulator.truth(id))['phase']).toBe('running');
    socket.typeJ('echo typed $((40+2))\n');
    await socket.sees('typed 42');
    await advance(200_000);
    expect((await emulator.truth(id))['phase']).toBe('running');
    await advance(101_000);
    await emulator.phase(id, 'sleeping');
    expect(await socket.closes()).toBe(1001);
  });

  it('never comes where it is off, and follows a change of the idle time', async () => {
    const id = await emulator.machine();
    await emulator.call('PATCH', `/v1/machines/${id}`, { body: { autosleep: 'never' } });
    await advance(86_400_000);
    expect((await emulator.truth(id))['phase']).toBe('running');
    await emulator.call('PATCH', `/v1/machines/${id}`, { body: { autosleep: '10s' } });
    await advance(11_000);
    await emulator.phase(id, 'sleeping');
  });

  it('comes by itself when the clock runs fast', async () => {
    const id = await emulator.machine();
    await emulator.admin('POST', '/clock', { rate: 10_000 });
    await emulator.phase(id, 'sleeping');
    await emulator.admin('POST', '/clock', { rate: 1 });
  });
});

describe('behind the back of the API', () => {
  it('kills the processes of a guest and leaves it running', async () => {
    const id = await emulator.machine();
    const boot = await emulator.shell(id, `${BOOT_ID}; setsid sleep 6666 >/dev/null 2>&1 &`);
    await emulator.admin('POST', `/machines/${id}/kill`);
    expect(await emulator.shell(id, `${BOOT_ID}; pgrep -fx "sleep 6666"`)).toBe(boot);
  });

  it('rolls the disk back to the last cold sleep, in a new boot', async () => {
    const id = await emulator.machine();
    await emulator.shell(id, 'echo old > ~/state');
    await sleepAndWake(id);
    await emulator.shell(id, 'echo new > ~/state');
    const before = (await emulator.truth(id))['bootId'];
    await emulator.admin('POST', `/machines/${id}/rollback`);
    expect(await emulator.shell(id, 'cat ~/state')).toBe('old\n');
    expect((await emulator.truth(id))['bootId']).not.toBe(before);
  });

  it('rolls it back as whole where an emulator was killed in mid copy before', async () => {
    const id = await emulator.machine();
    await emulator.shell(id, 'echo old > ~/state');
    const { homePath } = (await emulator.truth(id)) as { homePath: string };
    for (const half of [`${homePath}.new`, join(dirname(homePath), 'snapshot.new')]) {
      mkdirSync(half);
      writeFileSync(join(half, 'half'), '');
    }
    await sleepAndWake(id);
    await emulator.shell(id, 'echo new > ~/state');
    await emulator.admin('POST', `/machines/${id}/rollback`);
    expect(await emulator.shell(id, 'cat ~/state; ls ~')).toBe('old\nstate\n');
  });

  it('deletes a machine', async () => {
    const id = await emulator.machine();
    await emulator.admin('POST', `/machines/${id}/delete`);
    await emulator.phase(id, 'destroyed');
    expect((await emulator.call('GET', `/v1/machines/${id}`)).status).toBe(404);
  });
});
