/**
 * What a command of the agent is, on both channels: the user's shell goes on from one to the next, nothing a command does can hurt
 * the runner or the commands after it, and its record is true. Method: real bash on a machine of plain processes.
 */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LIVE_OUTPUT_BYTES_MAX } from '../../src/contracts/limits.js';
import type { OutputListener } from '../../src/guest/guest.js';
import { waitFor } from '../support/wait-for.js';
import { AttachedMachine, CHANNELS, deadline } from './support/attached.js';
import { command, finished, text } from './support/commands.js';

describe.each(CHANNELS)('commands by %s', (channel) => {
  let host: AttachedMachine;
  beforeEach(() => {
    host = new AttachedMachine(channel);
  });
  afterEach(async () => {
    await host.dispose();
  });

  test('output, exit code, hash and times are those of the command', async () => {
    const before = Date.now();
    const result = await host.run('echo out; echo err >&2; exit 3');
    expect(result).toMatchObject({ exitCode: 3, signal: undefined, timedOut: false, stopped: false });
    expect(result.text).toBe('out\nerr\n');
    expect(result.output.totalBytes).toBe(8);
    expect(result.outputHash).toBe(createHash('sha256').update('out\nerr\n').digest('hex'));
    expect(result.startedAtMs).toBeGreaterThanOrEqual(before);
    expect(result.endedAtMs).toBeGreaterThanOrEqual(result.startedAtMs);
  });

  test('output is whole although what keeps it begins only after the command has ended', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'innkeeper-slow-'));
    writeFileSync(join(folder, 'split'), '#!/bin/bash\nsleep 0.3\nexec /usr/bin/split "$@"\n', { mode: 0o755 });
    vi.stubEnv('PATH', `${folder}:${process.env['PATH'] ?? ''}`);
    const slow = new AttachedMachine(channel);
    try {
      const result = await slow.run('seq 400; exit 42');
      expect(result.exitCode).toBe(42);
      expect(result.text).toBe(`${Array.from({ length: 400 }, (_, index) => index + 1).join('\n')}\n`);
    } finally {
      await slow.dispose();
      vi.unstubAllEnvs();
      rmSync(folder, { recursive: true });
    }
  });

  test('directory, exported variables and exported functions carry over; plain variables do not', async () => {
    const value = `it's "odd" $HOME \\ \`id\`\n\ttwo lines é \u0007 end`;
    await host.run(
      `mkdir -p 'a dir' && cd 'a dir'; export ODD=${quote(value)} EMPTY=; plain=1; greet() { echo hello; }; export -f greet`,
    );
    const result = await host.run(
      'pwd; printf %s "$ODD" | base64 -w0; echo; echo "[${EMPTY-unset}] [${plain-unset}]"; greet; cd -',
    );
    expect(result.text.split('\n')).toEqual([
      join(host.machine.home, 'a dir'),
      Buffer.from(value).toString('base64'),
      '[] [unset]',
      'hello',
      host.machine.home,
      '',
    ]);
    await host.run('unset ODD PAGER; export -n EMPTY');
    const next = await host.run('echo "[${ODD-unset}] [${PAGER-unset}] [${EMPTY-unset}]"; pwd');
    expect(next.text).toBe(`[unset] [unset] [unset]\n${host.machine.home}\n`);
  });

  test('the context survives a cold boot, and a directory that is gone is said', async () => {
    await host.run('mkdir kept gone; cd kept; export STAYS=yes');
    await host.crash();
    expect((await host.run('pwd; echo $STAYS')).text).toBe(`${host.machine.home}/kept\nyes\n`);
    await host.run('cd ../gone');
    rmSync(join(host.machine.home, 'gone'), { recursive: true });
    const result = await host.run('pwd');
    expect(result.text).toContain('is gone');
    expect(result.text).toMatch(new RegExp(`${host.machine.home}\n$`));
  });

  test('a context that was cut short is passed over for the one before it', async () => {
    await host.run('export FIRST=1');
    const contexts = join(host.machine.home, '.innkeeper/context');
    writeFileSync(join(contexts, '0000000900-torn'), 'declare -x FIRST="torn"\nexit 1\n');
    expect((await host.run('echo $FIRST')).text).toBe('1\n');
  });

  test('nothing a command does to its shell hurts the next one', async () => {
    const scripts: [string, number | undefined, string][] = [
      ['set -e; false; echo never', 1, ''],
      ['set -u; echo "$NO_SUCH_THING"; echo never', 127, 'unbound variable'],
      ['echo before\nif then', 2, 'syntax error'],
      ['exec echo replaced', 0, 'replaced\n'],
      ['exec >/dev/null 2>&1; echo hidden', 0, ''],
      ['exec 0<&- 1>&- 2>&-; true', 0, ''],
      ['trap "echo bye" EXIT; exit 4', 4, 'bye\n'],
      ['set -x; true', 0, '+ true\n'],
      ['set -o posix; set -C; shopt -s extdebug; IFS=x; exit 5', 5, ''],
      ['return 3', 2, "can only `return'"],
      ['kill -KILL $$', undefined, ''],
      ['nosuchcommand', 127, 'bash: line 1: nosuchcommand: command not found\n'],
      ['true\ntrue\nnosuchcommand', 127, 'bash: line 3: nosuchcommand: command not found\n'],
      ['ulimit -n 8; exit 6', 6, ''],
      ['readonly HOME; exit 0', 0, ''],
      ['cat; read -r x || echo eof', 0, 'eof\n'],
    ];
    for (const [script, exitCode, shown] of scripts) {
      const result = await host.run(script);
      expect({ script, exitCode: result.exitCode }).toEqual({ script, exitCode });
      if (shown === '') expect({ script, text: result.text }).toEqual({ script, text: '' });
      else expect(result.text).toContain(shown);
      if (exitCode === undefined) expect(result.signal).toBe('SIGKILL');
    }
    await host.run('unset PATH');
    expect((await host.run('echo fine')).text).toBe('fine\n');
  });

  test('a command sees an environment that asks nothing, and nothing of the runner', async () => {
    const result = await host.run('env; ls /proc/self/fd | tr "\\n" " "; tty; trap');
    expect(result.text).toContain('PAGER=cat\n');
    expect(result.text).toContain('GIT_TERMINAL_PROMPT=0\n');
    expect(result.text).toContain('DEBIAN_FRONTEND=noninteractive\n');
    expect(result.text).toContain('\n0 1 2 3 not a tty\n'); // 3 is the directory that ls reads
    expect(result.text.replace(/^(PATH|PWD|OLDPWD|_)=.*$/gm, '').toLowerCase()).not.toContain('innkeeper=');
    expect((await host.run('env')).text).not.toMatch(/owner-1|__innkeeper|BASH_ENV|LC_ALL/);
  });

  test('each command is appended to ~/.bash_history, tools are not', async () => {
    await host.run('echo one');
    await host.run('cat <<END\ntwo \\n %s\nEND');
    await host.run('echo hidden', { historyLine: undefined });
    const history = readFileSync(join(host.machine.home, '.bash_history'), 'utf8');
    expect(history).toBe('echo one\ncat <<END\ntwo \\n %s\nEND\n');
  });

  test('binary output arrives as it was written', async () => {
    const result = await host.run(
      String.raw`for i in {0..255}; do printf "\x$(printf %x $i)"; done; printf '\r\n\036\035'`,
    );
    const expected = Buffer.from([...Array.from({ length: 256 }, (_, byte) => byte), 13, 10, 30, 29]);
    expect(Buffer.from(result.output.head)).toEqual(expected);
    const trailing = await host.run(String.raw`printf 'text\0'`);
    expect(trailing.output.totalBytes).toBe(5);
    expect(Buffer.from(trailing.output.head)).toEqual(Buffer.from('text\0'));
  });

  test('long output is kept head and tail, with the count of all', async () => {
    const limits = { outputHeadBytes: 1_000, outputTailBytes: 500 };
    for (const count of [1_499, 1_500, 1_501, 200_000, 1_048_576, 1_048_577, 3_500_000]) {
      const result = await host.run(`seq 1 9999999 | head -c ${count}`, limits);
      const expected = seqBytes(count);
      expect(result.output.totalBytes).toBe(count);
      const head = Buffer.from(result.output.head);
      const tail = Buffer.from(result.output.tail);
      expect(head).toEqual(expected.subarray(0, Math.min(count, 1_000)));
      expect(tail).toEqual(expected.subarray(Math.max(1_000, count - 500)));
      expect(result.outputHash).toBe(createHash('sha256').update(head).update(tail).digest('hex'));
    }
  });

  test('a flood of 100 MB leaves little on the disk and none in memory', async () => {
    const before = process.memoryUsage().rss;
    const result = await host.run('head -c 100000000 /dev/zero | tr "\\0" x; echo; echo end');
    expect(result.output.totalBytes).toBe(100_000_005);
    expect(text(result).endsWith('x\nend\n')).toBe(true);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
    await waitFor('the output to be cut to what is kept', async () => {
      const disk = await host.run('du -s -k .innkeeper | cut -f1');
      return Number(disk.text) < 1024;
    });
  });

  test('background processes stay, and neither delay the result nor add to it', async () => {
    const result = await host.run('(while sleep 0.05; do echo late; done) & echo $!; echo early');
    const [pid, early] = result.text.split('\n');
    expect(early).toBe('early');
    expect(result.endedAtMs - result.startedAtMs).toBeLessThan(5_000);
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    expect(createHash('sha256').update(result.text).digest('hex')).toBe(result.outputHash);
    expect((await host.run(`kill -0 ${pid} && echo alive; kill ${pid}`)).text).toContain('alive');
    await waitFor('the background process to end', () => !existsSync(`/proc/${pid}`));
  });

  test('a large script arrives whole', async () => {
    const content = Buffer.from(Array.from({ length: 200_000 }, (_, index) => 33 + (index % 90))).toString('latin1');
    const result = await host.run(`sha256sum <<'END_OF_CONTENT' | cut -c1-64\n${content}\nEND_OF_CONTENT`);
    expect(result.text.trim()).toBe(createHash('sha256').update(`${content}\n`).digest('hex'));
  });

  test('the time limit ends the whole session and says so', async () => {
    const result = await host.run('sleep 300 & echo started; sleep 300', { timeoutMs: 300 });
    expect(result).toMatchObject({ timedOut: true, exitCode: undefined, signal: 'SIGTERM', text: 'started\n' });
    await waitFor('all sleeping processes to end', () => sleepers(host).length === 0);
  });

  test('the id decides: the same command again is the same result, another body is a conflict', async () => {
    const attachment = await host.current();
    const once = command('echo run >>count; wc -l <count');
    const options = { submittedBootId: undefined, signal: deadline() };
    const first = finished(await attachment.run(once, options));
    const second = finished(await attachment.run(once, { ...options, submittedBootId: attachment.identity.bootId }));
    expect(second).toEqual(first);
    expect(text(second)).toBe('1\n');
    const other = { ...command('echo other'), cmdId: once.cmdId };
    await expect(attachment.run(other, options)).rejects.toMatchObject({ code: 'GUEST_CONFLICT' });
    expect(attachment.isBroken).toBe(false);
  });

  test('ids that are no file names are taken', async () => {
    const result = await host.run('echo fine', { cmdId: `../../etc/pa ss\nwd/${randomUUID()}` });
    expect(result.text).toBe('fine\n');
  });

  test('aborting the wait leaves the command running', async () => {
    const attachment = await host.current();
    const slow = command('sleep 1; echo done >finished');
    const controller = new AbortController();
    const waiting = attachment.run(slow, { submittedBootId: undefined, signal: controller.signal });
    await waitFor('the command to run', () => sleepers(host).length > 0);
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    const status = await attachment.run(slow, { submittedBootId: attachment.identity.bootId, signal: deadline() });
    expect(finished(status).exitCode).toBe(0);
    expect(existsSync(join(host.machine.home, 'finished'))).toBe(true);
  });

  test('progress is told while the command runs', async () => {
    const attachment = await host.current();
    const seen: number[] = [];
    await attachment.run(command('echo 12345; sleep 1.5'), {
      submittedBootId: undefined,
      signal: deadline(),
      onProgress: ({ outputBytes }) => seen.push(outputBytes),
    });
    expect(seen).toContain(6);
  });

  test('output is heard as it comes, in order and whole up to what is heard', async () => {
    const attachment = await host.current();
    const listener = new Listener();
    await attachment.run(command('for i in 1 2 3 4 5 6; do seq $i 2000; sleep 0.6; done'), {
      ...{ submittedBootId: undefined, signal: deadline(), output: listener },
    });
    const whole = [1, 2, 3, 4, 5, 6].map((from) => lines(from, 2_000)).join('');
    expect(listener.text.length).toBeGreaterThan(0);
    expect(listener.text).toBe(whole.slice(0, listener.text.length));
  });

  // By executions a piece comes with each answer, a second and more apart.
  if (channel === 'terminal') {
    test('output is heard on from where another listener stopped', async () => {
      const attachment = await host.current();
      const long = command('for i in 1 2 3 4; do seq $i 9000; sleep 0.6; done; sleep 0.5');
      const whole = [1, 2, 3, 4].map((from) => lines(from, 9_000)).join('');
      const first = new Listener();
      const controller = new AbortController();
      const running = attachment.run(long, { submittedBootId: undefined, signal: controller.signal, output: first });
      await waitFor('a beginning', () => first.offset > 20_000);
      controller.abort(new Error('enough'));
      await expect(running).rejects.toThrow('enough');
      const second = new Listener(first.offset);
      const { bootId } = attachment.identity;
      const result = finished(
        await attachment.run(long, { submittedBootId: bootId, signal: deadline(), output: second }),
      );
      expect(result.output.totalBytes).toBe(whole.length);
      const heard = first.text + second.text;
      expect(heard.length).toBeGreaterThan(lines(1, 9_000).length);
      expect(heard).toBe(whole.slice(0, heard.length));
    });

    test('output is heard to its bound, and not what the runner adds', async () => {
      const attachment = await host.current();
      const listener = new Listener(LIVE_OUTPUT_BYTES_MAX - 50_000);
      await attachment.run(command('yes 0123456 | head -c 2000000; sleep 3'), {
        ...{ submittedBootId: undefined, signal: deadline(), output: listener },
      });
      expect(listener.offset).toBe(LIVE_OUTPUT_BYTES_MAX);
      expect(listener.text).toBe('0123456\n'.repeat(LIVE_OUTPUT_BYTES_MAX / 8).slice(-50_000));
    });
  }
});

/** Keeps what it hears. */
class Listener implements OutputListener {
  text = '';
  constructor(public offset = 0) {}
  hear(bytes: Uint8Array): void {
    this.offset += bytes.length;
    this.text += Buffer.from(bytes).toString('latin1');
  }
}

const lines = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, index) => `${from + index}\n`).join('');

describe('one attachment', () => {
  test('100 commands one after the other leave no processes and no descriptors behind', async () => {
    const host = new AttachedMachine('terminal');
    try {
      await host.run('true');
      const counts: { processes: number; descriptors: number }[] = [];
      for (let index = 0; index < 100; index += 1) {
        await host.run(`echo ${index}`);
        if (index % 33 === 0) counts.push(await settledCounts(host));
      }
      for (const count of counts) expect(count).toEqual(counts[0]);
    } finally {
      await host.dispose();
    }
  });

  test('a long journal loses its oldest commands when a new attachment begins', async () => {
    const host = new AttachedMachine('terminal');
    try {
      await host.run('true');
      const journal = join(host.machine.home, '.innkeeper/journal');
      for (let index = 0; index < 2_100; index += 1) {
        writeFileSync(join(journal, `old${index}.spec`), '');
        writeFileSync(join(journal, `old${index}.result`), '');
        utimesSync(join(journal, `old${index}.spec`), 1, index);
      }
      await host.attach();
      const specs = () => readdirSync(journal).filter((name) => name.endsWith('.spec'));
      await waitFor('the journal to be shortened', () => specs().length <= 1_000);
      expect(specs()).toContain('old2099.spec');
      expect(existsSync(join(journal, 'old0.result'))).toBe(false);
      expect((await host.run('echo fine')).text).toBe('fine\n');
    } finally {
      await host.dispose();
    }
  });

  test('closing it leaves nothing behind', async () => {
    const host = new AttachedMachine('terminal');
    try {
      const attachment = await host.current();
      await host.run('true');
      await attachment.close();
      expect(attachment.isBroken).toBe(true);
      await waitFor('the loop and its spare runner to end', () => host.machine.processes().length === 0);
    } finally {
      await host.dispose();
    }
  });
});

/** Processes and the loop's open descriptors, once the last runner is gone: the loop, and the spare runner with its two. */
async function settledCounts(host: AttachedMachine): Promise<{ processes: number; descriptors: number }> {
  await waitFor('the last runner to end and the spare one to be there', () => host.machine.processes().length === 4);
  const serve = readFileSync(join(host.machine.home, '.innkeeper/serve'), 'utf8').trim();
  return { processes: host.machine.processes().length, descriptors: readdirSync(`/proc/${serve}/fd`).length };
}

function sleepers(host: AttachedMachine): number[] {
  return host.machine.processes().filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'sleep';
    } catch {
      return false; // It ended meanwhile.
    }
  });
}

function quote(value: string): string {
  return `'${value.replaceAll("'", `'\\''`)}'`;
}

function seqBytes(count: number): Buffer {
  const pieces: string[] = [];
  for (let number = 1, bytes = 0; bytes < count; number += 1) {
    const line = `${number}\n`;
    pieces.push(line);
    bytes += line.length;
  }
  return Buffer.from(pieces.join('')).subarray(0, count);
}
