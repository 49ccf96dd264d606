/** Goal: terminals are real ptys in both wire protocols, with the refusals and losses that a client must bear. */
import { WebSocket } from 'ws';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { waitFor } from '../support/wait-for.js';
import { TerminalSocket, TestEmulator } from './support.js';

let emulator: TestEmulator;
let id: string;
beforeAll(async () => {
  emulator = await TestEmulator.start('g2');
  id = await emulator.machine();
});
afterAll(() => emulator.stop());
beforeEach(() => emulator.settings({ terminalProtocol: 'J', sleepMode: 'cold' }));

async function open(machineId = id, extra: Record<string, unknown> = {}): Promise<TerminalSocket> {
  const terminal = await emulator.terminal(machineId, extra);
  return new TerminalSocket(String(terminal['stream_url'])).opened();
}

const statusOf = async (terminalId: string): Promise<unknown> =>
  (await emulator.call('GET', `/v1/machines/${id}/terminals/${terminalId}`)).body['status'];

describe('a terminal', () => {
  it('speaks protocol J: JSON frames, resize, closed, close', async () => {
    const socket = await open();
    socket.socket.send(JSON.stringify({ type: 'resize', width: 91, height: 21 }));
    socket.typeJ('stty size; tty; echo é$((6*7))\n');
    await socket.sees('é42');
    expect(socket.text).toContain('21 91');
    expect(socket.text).toContain('/dev/pts/');
    socket.socket.send('nonsense');
    socket.typeJ('exit 3\n');
    expect(await socket.closes()).toBe(1000);
    const types = socket.frames.map((frame) => (JSON.parse(frame.data) as { type: string }).type);
    expect(types.at(-1)).toBe('closed');
    expect(types).toContain('error');
    expect(socket.frames.every((frame) => !frame.isBinary)).toBe(true);
  });

  it('speaks protocol D: raw binary frames, a resize in text, close', async () => {
    await emulator.settings({ terminalProtocol: 'D' });
    const socket = await open();
    socket.socket.send(JSON.stringify({ cols: 92, rows: 22 }));
    socket.typeD('stty size; echo D$((6*7))\n');
    await socket.sees('D42');
    expect(socket.text).toContain('22 92');
    socket.typeD('exit\n');
    expect(await socket.closes()).toBe(1000);
    expect(socket.frames.every((frame) => frame.isBinary)).toBe(true);
  });

  it('takes its shell, directory and environment from the request', async () => {
    const socket = await open(id, { shell: '/bin/sh', cwd: '/tmp', env: { GIVEN: 'by request', PS1: '% ' } });
    socket.typeJ('echo $0 $PWD $GIVEN $TERM\n');
    await socket.sees('/bin/sh /tmp by request xterm-256color');
    socket.socket.close();
  });

  it('keeps its shell when a socket drops, and hands the output on to the next', async () => {
    const terminal = await emulator.terminal(id);
    const first = await new TerminalSocket(String(terminal['stream_url'])).opened();
    first.typeJ('kept=yes; (sleep 0.05; echo late) &\n');
    first.socket.terminate();
    const second = await new TerminalSocket(String(terminal['stream_url'])).opened();
    await second.sees('late');
    second.typeJ('echo kept=$kept\n');
    await second.sees('kept=yes');
    const third = await new TerminalSocket(String(terminal['stream_url'])).opened();
    expect(await second.closes()).toBe(1008);
    third.socket.close();
  });

  it('accepts a key in place of the capability in its URL, and nobody without either', async () => {
    const terminal = await emulator.terminal(id);
    const bare = String(terminal['stream_url']).replace(/\?.*/, '');
    expect(await refusal(bare)).toMatchObject({ status: 401, body: { error_code: 'AUTH_REQUIRED' } });
    const socket = new TerminalSocket(bare, { 'x-api-key': emulator.running.apiKey });
    await socket.opened();
    socket.socket.close();
  });

  it('answers 409 before it is ready and after it is closed', async () => {
    const other = await emulator.machine();
    await emulator.change(other, 'sleep');
    await emulator.phase(other, 'sleeping');
    await emulator.settings({ wakeMs: 300 });
    const early = await emulator.terminal(other);
    expect(early['status']).toBe('wake_in_progress');
    expect(await refusal(String(early['stream_url']))).toMatchObject({
      status: 409,
      body: { error_code: 'INVALID_STATE', retryable: true, details: { current_status: 'wake_in_progress' } },
    });
    await emulator.settings({ wakeMs: 5 });
    await emulator.phase(other, 'running');
    const terminalPath = `/v1/machines/${other}/terminals/${String(early['terminal_id'])}`;
    await waitFor(
      'the terminal is ready',
      async () => (await emulator.call('GET', terminalPath)).body['status'] === 'ready',
    );
    expect((await emulator.call('DELETE', terminalPath)).body['status']).toBe('closed');
    expect(await refusal(String(early['stream_url']))).toMatchObject({
      status: 409,
      body: { error_code: 'INVALID_STATE', retryable: false, details: { current_status: 'closed' } },
    });
  });

  it('closes with 1001 when its machine goes to sleep cold', async () => {
    const other = await emulator.machine();
    const socket = await open(other);
    await emulator.change(other, 'sleep');
    expect(await socket.closes()).toBe(1001);
  });

  it('fails with a code when its shell does not exist', async () => {
    const terminal = await emulator.terminal(id, { shell: '/bin/nothing' });
    await waitFor('the terminal fails', async () => (await statusOf(String(terminal['terminal_id']))) === 'failed');
  });

  it('holds the guest back while the reader is slow, and loses nothing', async () => {
    const terminal = await emulator.terminal(id);
    const socket = await new TerminalSocket(String(terminal['stream_url'])).opened();
    await socket.sees('#');
    socket.socket.pause();
    socket.typeJ('stty -onlcr; head -c 30000000 /dev/zero | tr "\\0" x; touch /tmp/written; echo; echo the end\n');
    const written = (): Promise<string> => emulator.shell(id, 'ls /tmp/written 2>/dev/null');
    expect(await written()).toBe('');
    socket.socket.resume();
    await socket.sees('\nthe end');
    expect(socket.text.length).toBeGreaterThan(30_000_000);
    expect(await written()).toBe('/tmp/written\n');
    socket.socket.close();
  });

  it.each([1000, 1001, 1005, 1006, 1011, 1012])('can be made to drop with %d at the connection', async (closeCode) => {
    const terminal = await emulator.terminal(id);
    await emulator.fault('terminal-drop', { closeCode });
    const socket = new TerminalSocket(String(terminal['stream_url']));
    expect(await socket.closes()).toBe(closeCode);
    const next = await new TerminalSocket(String(terminal['stream_url'])).opened();
    next.typeJ('echo still $((40+2))\n');
    await next.sees('still 42');
    next.socket.close();
  });

  it('can be made to drop on input, which is lost, and after output', async () => {
    const terminal = await emulator.terminal(id);
    await emulator.fault('terminal-drop', { closeCode: 1011, at: 'during' });
    const first = await new TerminalSocket(String(terminal['stream_url'])).opened();
    first.typeJ('touch /tmp/lost\n');
    expect(await first.closes()).toBe(1011);
    // More output than the prompt and the echo make: the drop comes while the command writes.
    await emulator.fault('terminal-drop', { closeCode: 1006, at: 'after', afterBytes: 3_000 });
    const second = await new TerminalSocket(String(terminal['stream_url'])).opened();
    second.typeJ('touch /tmp/done; head -c 9000 /dev/zero | tr "\\0" x\n');
    expect(await second.closes()).toBe(1006);
    await waitFor('the input arrived', async () =>
      (await emulator.shell(id, 'ls /tmp/done /tmp/lost')).includes('/tmp/done\n'),
    );
    expect(await emulator.shell(id, 'ls /tmp/lost 2>/dev/null')).toBe('');
  });
});

function refusal(url: string): Promise<{ status: number; body: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.on('error', () => undefined);
    socket.on('open', () => reject(new Error('the socket opened')));
    socket.on('unexpected-response', (_request, response) => {
      let text = '';
      response.on('data', (bytes: Buffer) => (text += bytes.toString()));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Record<string, unknown> });
      });
    });
  });
}
