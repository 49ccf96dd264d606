/** Goal: a guest sees nothing of the host, of the emulator or of other guests, and cannot change the kernel. */
import { readFileSync, writeFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EmulatorStartError, startEmulator } from '../../src/emulator/index.js';
import { TerminalSocket, TestEmulator } from './support.js';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const CANARY = 'canary-4f1d2c';
let emulator: TestEmulator;
let id: string;
let other: string;

beforeAll(async () => {
  process.env['INNKEEPER_TEST_CANARY'] = CANARY;
  emulator = await TestEmulator.start('g2');
  [id, other] = await Promise.all([emulator.machine(), emulator.machine()]);
});
afterAll(async () => {
  delete process.env['INNKEEPER_TEST_CANARY'];
  await emulator.stop();
});

describe('a guest', () => {
  it('has an environment made from nothing, in executions, in terminals and in /proc', async () => {
    expect((await emulator.shell(id, 'env | cut -d= -f1 | sort')).split('\n').filter(Boolean)).toEqual(
      ['HOME', 'HOSTNAME', 'LANG', 'LOGNAME', 'PATH', 'PWD', 'SHELL', 'SHLVL', 'USER', '_'].sort(),
    );
    expect(await emulator.shell(id, 'cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr "\\0" "\\n"')).not.toContain(
      CANARY,
    );
    const socket = new TerminalSocket(String((await emulator.terminal(id))['stream_url']));
    await socket.opened();
    socket.typeJ('env; echo the $((40+2)) end\n');
    await socket.sees('the 42 end');
    expect(socket.text).not.toContain(CANARY);
    expect(socket.text).not.toContain(emulator.running.apiKey);
    socket.socket.close();
  });

  it('sees system folders of the host, read-only, and none of its homes, data or this project', async () => {
    const paths = [
      PROJECT,
      emulator.dataDir,
      join(emulator.dataDir, 'api-key'),
      '/opt',
      '/mnt',
      '/srv',
      '/home/user',
      '/root/.ssh',
    ];
    const seen = await emulator.shell(id, paths.map((path) => `[ -e '${path}' ] && echo '${path}'`).join('; '));
    expect(seen).toBe('');
    expect((await emulator.shell(id, 'ls /')).split('\n').filter(Boolean)).toEqual(
      expect.arrayContaining(['bin', 'dev', 'etc', 'home', 'proc', 'root', 'tmp', 'usr', 'var', 'workspace']),
    );
    expect(await emulator.shell(id, 'touch /usr/x 2>&1 || echo refused')).toContain('refused');
    expect(await emulator.shell(id, 'cat /etc/shadow 2>/dev/null || echo none')).toBe('none\n');
    expect(await emulator.shell(id, 'ls -A /sys /root /home')).toBe('/home:\nmachine\n\n/root:\n\n/sys:\n');
  });

  it('cannot write kernel settings, although it is root in its own namespace', async () => {
    expect(await emulator.shell(id, 'id -u')).toBe('0\n');
    const script = 'f=/proc/sys/kernel/core_pattern; cat $f > /tmp/p; cat /tmp/p > $f || echo refused';
    expect(await emulator.shell(id, script)).toContain('refused');
    expect(await emulator.shell(id, 'grep -i ^CapEff /proc/self/status')).toMatch(/0000000000000000/);
  });

  it('sees neither files nor processes of another guest', async () => {
    const secret = 'machine-secret-91';
    await emulator.shell(
      other,
      `echo ${secret} > ~/secret; echo ${secret} > /tmp/secret; exec -a ${secret} sleep 1000 >/dev/null 2>&1 &`,
    );
    const home = String((await emulator.truth(other))['homePath']);
    expect(readFileSync(join(home, 'secret'), 'utf8')).toContain(secret);
    const look = `cat ~/secret /tmp/secret '${home}/secret' /proc/[0-9]*/cmdline 2>/dev/null; ps -ef`;
    expect(await emulator.shell(id, look)).not.toContain(secret);
    expect((await emulator.truth(id))['guestUid']).not.toBe((await emulator.truth(other))['guestUid'] ?? 'shared');
  });

  it('has its own hostname, its own boot id and no network', async () => {
    const identity = 'hostname; cat /proc/sys/kernel/random/boot_id';
    expect(await emulator.shell(id, identity)).not.toBe(await emulator.shell(other, identity));
    expect(
      await emulator.shell(id, 'ls /sys/class/net 2>/dev/null; cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d " "'),
    ).toBe('lo\n');
    const port = new URL(emulator.running.url).port;
    expect(await emulator.shell(id, `(: < /dev/tcp/127.0.0.1/${port}) 2>/dev/null || echo unreachable`)).toBe(
      'unreachable\n',
    );
  });

  it('has the tools its files need: git, awk by its alternative, a HOME of its own', async () => {
    expect(await emulator.shell(id, 'echo ~; awk "BEGIN { print 6 * 7 }"; getent passwd root | cut -d: -f6')).toBe(
      '/home/machine\n42\n/home/machine\n',
    );
    expect(
      await emulator.shell(id, 'cd ~ && git init -q repo && git -C repo status --short && ls -d repo/.git'),
    ).toContain('repo/.git\n');
  });

  it('inherits no descriptor of the emulator', async () => {
    const script = 'for f in /proc/self/fd/*; do readlink $f; done';
    const { output } = await emulator.exec(id, ['/bin/bash', '-c', script]);
    expect(String(output['stdout'])).not.toMatch(/socket:|\.jsonl|innkeeper-emulator/);
  });
});

describe('the emulator', () => {
  it('refuses to listen beyond loopback, on a taken port, on a folder in use and with a wrong profile', async () => {
    const base = { profile: 'g2' as const, dataDir: `${emulator.dataDir}-2`, port: 0 };
    const start = (change: object) => startEmulator({ ...base, ...change });
    await expect(start({ host: '0.0.0.0' })).rejects.toThrow(/refuses to listen/);
    await expect(start({ port: Number(new URL(emulator.running.url).port) })).rejects.toThrow(/in use/);
    await expect(start({ dataDir: emulator.dataDir })).rejects.toThrow(EmulatorStartError);
    await expect(start({ profile: 'g9' })).rejects.toThrow(/g2, g3, g5, g6/);
    await expect(start({ dataDir: '/usr/emulator' })).rejects.toThrow(/below \/usr/);
    rmSync(base.dataDir, { recursive: true, force: true });
  });

  it('keeps its key in a file that only its owner can read', async () => {
    writeFileSync(join(emulator.dataDir, 'probe'), 'readable', { mode: 0o644 });
    expect(readFileSync(join(emulator.dataDir, 'api-key'), 'utf8').trim()).toBe(emulator.running.apiKey);
  });
});

it('a guest has the network of the host where the emulator was started with it', async () => {
  const open = await TestEmulator.start('g6', { guestNetwork: true });
  const guest = await open.machine();
  const port = new URL(open.running.url).port;
  expect(await open.shell(guest, `(: < /dev/tcp/127.0.0.1/${port}) && echo reached`)).toBe('reached\n');
  await open.stop();
});
