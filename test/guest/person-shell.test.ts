/**
 * A person's shell and the agent's commands are one shell in turns: each begins where the other left off, whatever the person did and
 * however they left. Method: real bash on terminals of a machine of plain processes.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openPersonShell, type PersonShell } from '../../src/guest/person-shell.js';
import { waitFor } from '../support/wait-for.js';
import { AttachedMachine, deadline } from './support/attached.js';

interface Person {
  readonly shell: PersonShell;
  /** All that the person has seen. */
  seen(): string;
  /** Types a line and waits for this in what comes then. */
  type(line: string, expected: string | RegExp): Promise<void>;
  leave(): Promise<string | null>;
}

let host: AttachedMachine;
beforeEach(() => {
  host = new AttachedMachine('terminal');
});
afterEach(() => host.dispose());

async function sitDown(): Promise<Person> {
  const { provider } = host.machine;
  const shell = await openPersonShell({
    machines: provider,
    machineId: 'm',
    columns: 190,
    rows: 20,
    signal: deadline(),
  });
  const pieces: Uint8Array[] = [];
  shell.onOutput((bytes) => pieces.push(bytes));
  const seen = (): string => Buffer.concat(pieces).toString('utf8');
  return {
    shell,
    seen,
    async type(line, expected) {
      const from = seen().length;
      shell.write(Buffer.from(`${line}\r`));
      // Behind the echo of the line itself.
      const answer = (): string => seen().slice(from).replace(line, '');
      await waitFor(`${String(expected)} in ${JSON.stringify(answer())}`, () =>
        typeof expected === 'string' ? answer().includes(expected) : expected.test(answer()),
      );
    },
    async leave() {
      const directory = await shell.leave(deadline());
      await shell.close();
      return directory;
    },
  };
}

describe("a person's shell", () => {
  test('begins where the agent is, with its variables, its history and a prompt; nothing of how it was made is seen', async () => {
    await host.run(`mkdir -p 'a dir'; cd 'a dir'; export COLOUR='blue green'; hidden=1`);
    const person = await sitDown();
    await person.type(
      'echo "[$COLOUR] [${hidden-none}] [$TERM] [${PAGER-none}]"',
      '[blue green] [none] [xterm-256color] [none]',
    );
    await person.type('pwd', join(host.machine.home, 'a dir'));
    await person.type('echo "found $(history | grep -c COLOUR=)"', /found [12]/);
    await person.type('stty size', '20 190');
    expect(person.seen()).toMatch(/~\/a dir/);
    // A shell that can tell a paste from keys says so.
    expect(person.seen()).toContain('\u001b[?2004h');
    expect(person.seen()).not.toMatch(/innkeeper|HISTFILE|\u001e|\u001d/);
  });

  test('follows its window', async () => {
    const person = await sitDown();
    person.shell.resize({ columns: 133, rows: 44 });
    await person.type('stty size', '44 133');
  });

  test('leaves the agent its directory, its variables and its functions, and not what suits a person alone', async () => {
    const person = await sitDown();
    await person.type(
      'mkdir -p work && cd work && export ANSWER="4 2" && unset LANG; greet() { echo hi; }; export -f greet',
      '# ',
    );
    await person.type('echo done-typing', 'done-typing');
    expect(await person.leave()).toBe(join(host.machine.home, 'work'));
    const { text } = await host.run('pwd; echo "[$ANSWER] [${LANG-none}] [$TERM] [$PAGER] [${PS1-none}]"; greet');
    expect(text.split('\n')).toEqual([join(host.machine.home, 'work'), '[4 2] [none] [dumb] [cat] [none]', 'hi', '']);
    expect((await host.run('env | grep -c __innkeeper')).text).toBe('0\n');
  });

  test('that is left in mid command ends it, and nothing that would have come next is run', async () => {
    const person = await sitDown();
    await person.type('mkdir sub; echo "made $((40 + 2))"', 'made 42');
    person.shell.write(Buffer.from('cd sub && sleep 300; touch ../next; sleep 300\r'));
    await waitFor('the command runs', () =>
      host.machine.processes().some((pid) => commandLine(pid).startsWith('sleep 300')),
    );
    expect(await person.leave()).toBe(join(host.machine.home, 'sub'));
    expect(existsSync(join(host.machine.home, 'next'))).toBe(false);
    expect(host.machine.processes().some((pid) => commandLine(pid).startsWith('sleep '))).toBe(false);
    expect((await host.run('pwd')).text).toBe(`${join(host.machine.home, 'sub')}\n`);
  });

  test('ends programs that ignore it, and leaves alone what runs in the background', async () => {
    const person = await sitDown();
    await person.type(`sleep 301 & echo "pid $!"`, /pid \d+/);
    person.shell.write(Buffer.from(`bash -c "trap '' HUP TERM INT; sleep 302; sleep 303"\r`));
    await waitFor('the stubborn one runs', () =>
      host.machine.processes().some((pid) => commandLine(pid).startsWith('sleep 302')),
    );
    await person.leave();
    const left = host.machine.processes().map(commandLine);
    expect(left.filter((line) => line.startsWith('sleep '))).toEqual(['sleep 301']);
    expect(left.filter((line) => line.includes('trap'))).toEqual([]);
  });

  test('that exits by itself has left as well', async () => {
    const person = await sitDown();
    await person.type('cd /usr; export LEFT=behind; echo "in $PWD"', 'in /usr');
    person.shell.write(Buffer.from('cd lib; exit 3\r'));
    await person.shell.closed;
    expect(await person.leave()).toBe('/usr/lib');
    expect((await host.run('echo "$PWD $LEFT"')).text).toBe('/usr/lib behind\n');
  });

  test('that nobody took leave of is where the agent goes on all the same, and is ended by the next person', async () => {
    const first = await sitDown();
    await first.type('cd /usr/bin; export FROM=first; echo "in $PWD"', 'in /usr/bin');
    expect((await host.run('echo "$PWD $FROM"')).text).toBe('/usr/bin first\n');
    await host.run('cd /usr/lib; export FROM=agent');
    const second = await sitDown();
    await first.shell.closed;
    // The first one's end has written its context once more; it is not the newest.
    await second.type('echo "$PWD $FROM"', '/usr/bin first');
    await second.leave();
  });

  test('takes whatever a start-up file sets, options that break scripts included', async () => {
    writeFileSync(
      join(host.machine.home, '.bashrc'),
      `PS1='mine> '; PROMPT_COMMAND='true'; set -u; shopt -s extglob; alias ll='ls -l'\n`,
    );
    const person = await sitDown();
    await person.type('set -eC; set -x; cd /usr; export X=1; set +xe', 'mine> ');
    await person.type('false; echo "status $?"', 'status 1');
    expect(await person.leave()).toBe('/usr');
    expect((await host.run('echo "$PWD $X $-"')).text).toMatch(/^\/usr 1 [^eux]*\n$/);
  });

  test('keeps its lines on the machine, and the agent runs beside it what ran before', async () => {
    const attachment = await host.current();
    expect(attachment.isBroken).toBe(false);
    const person = await sitDown();
    await person.type('echo "typed $((1 + 1))"', 'typed 2');
    expect(attachment.isBroken).toBe(false);
    expect((await host.run('echo beside')).text).toBe('beside\n');
    await person.leave();
    expect(readFileSync(join(host.machine.home, '.bash_history'), 'utf8')).toContain('echo "typed $((1 + 1))"');
  });
});

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').join(' ').trim();
  } catch {
    return ''; // Gone meanwhile.
  }
}
