/** Goal: frames of a terminal's socket are torn, doubled, delayed and repeated late where that was asked for, and only there. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../support/wait-for.js';
import { TerminalSocket, TestEmulator } from './support.js';

let emulator: TestEmulator;
let id: string;
beforeAll(async () => {
  emulator = await TestEmulator.start('g2');
  id = await emulator.machine();
});
afterAll(() => emulator.stop());
afterEach(() => emulator.admin('DELETE', '/faults'));

/** A shell that echoes nothing, so that all text is the commands' own. */
async function open(): Promise<TerminalSocket> {
  const terminal = await emulator.terminal(id, { shell: '/bin/cat' });
  return new TerminalSocket(String(terminal['stream_url'])).opened();
}

const count = (text: string, part: string): number => text.split(part).length - 1;

describe('a frame', () => {
  it('of input can lose its second half', async () => {
    const socket = await open();
    await emulator.fault('frame-torn', { at: 'during' });
    socket.typeJ('abcdefgh');
    socket.typeJ('|whole\n');
    await socket.sees('abcd|whole');
    socket.socket.close();
  });

  it('of output can arrive in two pieces, whole', async () => {
    const socket = await open();
    await emulator.fault('frame-torn', { at: 'after' });
    socket.typeJ('abcdefgh\n');
    // The terminal's echo, and the program's own line.
    await waitFor('all has come', () => socket.text === 'abcdefgh\r\nabcdefgh\r\n');
    expect(await emulator.ledger('fault.hit')).toContainEqual(
      expect.objectContaining({ fault: 'frame-torn', machineId: id, at: 'after' }),
    );
    socket.socket.close();
  });

  it('can come twice, at once or late', async () => {
    const socket = await open();
    await emulator.fault('frame-duplicated', { at: 'during' });
    socket.typeJ('one\n');
    await emulator.fault('frame-late', { at: 'during', delayMs: 150 });
    socket.typeJ('two\n');
    socket.typeJ('three\n');
    // Each line is seen as the terminal's echo and as the program's own.
    await waitFor('the late copy has come', () => count(socket.text, 'two') === 4);
    expect(count(socket.text, 'one')).toBe(4);
    expect(count(socket.text, 'three')).toBe(2);
    expect(socket.text.lastIndexOf('two')).toBeGreaterThan(socket.text.indexOf('three'));
    socket.socket.close();
  });

  it('can be delayed, and nothing overtakes it', async () => {
    const socket = await open();
    await emulator.fault('frame-delayed', { at: 'during', delayMs: 200 });
    socket.typeJ('first\n');
    socket.typeJ('second\n');
    await socket.sees('second');
    expect(socket.text.indexOf('first')).toBeLessThan(socket.text.indexOf('second'));
    expect(await emulator.ledger('fault.hit')).toContainEqual(
      expect.objectContaining({ fault: 'frame-delayed', machineId: id, at: 'during' }),
    );
    socket.socket.close();
  });
});

describe('a drop', () => {
  it('strikes a connection that is open already', async () => {
    const socket = await open();
    await emulator.fault('terminal-drop', { at: 'during', closeCode: 1011 });
    socket.typeJ('lost\n');
    expect(await socket.closes()).toBe(1011);
  });
});

describe('the admin route', () => {
  it('puts a machine to sleep as the provider would, and lets one go that is stuck', async () => {
    const machine = await emulator.machine();
    await emulator.admin('POST', `/machines/${machine}/autosleep`);
    await emulator.phase(machine, 'sleeping');
    await emulator.fault('placement-pending', { match: { route: 'machines.wake' } });
    await emulator.change(machine, 'wake');
    await emulator.phase(machine, 'placement_pending');
    await emulator.admin('POST', `/machines/${machine}/release`);
    await emulator.phase(machine, 'running');
  });

  it('keeps lost homes where that is asked for', async () => {
    await emulator.settings({ keepsLostHomes: true });
    const machine = await emulator.machine();
    await emulator.shell(machine, 'echo kept > ~/kept.txt');
    await emulator.change(machine, 'delete');
    const truth = await emulator.phase(machine, 'destroyed');
    expect(truth['lostHomes']).toEqual([expect.stringMatching(/\/lost\/.*\/0000$/)]);
    await emulator.settings({ keepsLostHomes: false });
  });
});
