/**
 * The lookup table: what any later attempt, by any worker, is told of a command. Method: each row's state of the journal is brought
 * about by real deaths (of the runner, of the boot, of the disk's last writes), then the command is submitted again.
 */
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CommandStatus, GuestCommand } from '../../src/guest/guest.js';
import { journalName } from '../../src/guest/wire.js';
import { waitFor } from '../support/wait-for.js';
import { AttachedMachine, CHANNELS, deadline } from './support/attached.js';
import { command, finished, text } from './support/commands.js';

const OTHER_BOOT = '00000000-0000-4000-8000-000000000000';

describe.each(CHANNELS)('the lookup table by %s', (channel) => {
  let host: AttachedMachine;
  beforeEach(() => {
    host = new AttachedMachine(channel);
  });
  afterEach(async () => {
    await host.dispose();
  });

  function file(of: GuestCommand, suffix: string): string {
    return join(host.machine.home, '.innkeeper/journal', `${journalName(of.cmdId)}.${suffix}`);
  }
  async function submit(which: GuestCommand, submittedBootId?: string): Promise<CommandStatus> {
    const attachment = await host.current();
    return attachment.run(which, { submittedBootId, signal: deadline() });
  }
  /** Starts the command and leaves it alone once it has said something. */
  async function begin(which: GuestCommand): Promise<void> {
    const attachment = await host.current();
    const controller = new AbortController();
    const waiting = attachment.run(which, { submittedBootId: undefined, signal: controller.signal });
    await waitFor('the command to have begun', () => started(which)['sid'] && bytesOf(file(which, 'out.0000000')) > 0);
    controller.abort(new Error('left alone'));
    await expect(waiting).rejects.toThrow('left alone');
  }
  function started(which: GuestCommand): Record<string, string> {
    return existsSync(file(which, 'started')) ? fields(readFileSync(file(which, 'started'), 'utf8')) : {};
  }

  test('nothing, never submitted: runs', async () => {
    expect(text(finished(await submit(command('echo ran'))))).toBe('ran\n');
  });

  test('nothing, submitted under this boot: runs', async () => {
    const { identity } = await host.current();
    expect(text(finished(await submit(command('echo ran'), identity.bootId)))).toBe('ran\n');
  });

  test('nothing, submitted under another boot: the disk went back in time, so unknown, and never runs', async () => {
    const lost = command('echo ran >>count');
    expect(await submit(lost, OTHER_BOOT)).toMatchObject({ kind: 'void', reason: 'disk_rolled_back' });
    const { identity } = await host.current();
    expect(await submit(lost, identity.bootId)).toMatchObject({ kind: 'void', reason: 'disk_rolled_back' });
    expect(await submit(lost)).toMatchObject({ kind: 'void', reason: 'disk_rolled_back' });
    expect(existsSync(join(host.machine.home, 'count'))).toBe(false);
  });

  test('spec only, as when the serving loop died: runs', async () => {
    const which = command('echo ran');
    await host.run('true'); // makes the journal
    writeFileSync(file(which, 'spec'), `${which.bodyHash}\n60000 65536 65536 5000\n\necho ran\nend\n`);
    expect(text(finished(await submit(which)))).toBe('ran\n');
    const torn = command('echo ran');
    writeFileSync(file(torn, 'spec'), `${torn.bodyHash}\n60000 65536 655`);
    expect(text(finished(await submit(torn)))).toBe('ran\n');
  });

  test('another hash: a conflict, whatever became of the command', async () => {
    const which = command('echo ran');
    finished(await submit(which));
    const other = { ...which, bodyHash: command('echo other').bodyHash };
    await expect(submit(other)).rejects.toMatchObject({ code: 'GUEST_CONFLICT' });
    rmSync(file(which, 'result'));
    rmSync(file(which, 'started'));
    await expect(submit(other, OTHER_BOOT)).rejects.toMatchObject({ code: 'GUEST_CONFLICT' });
  });

  test('a result: is returned, under any boot', async () => {
    const which = command('echo ran >>count; cat count; exit 7');
    const first = finished(await submit(which));
    await host.crash();
    expect(finished(await submit(which, OTHER_BOOT))).toEqual(first);
    expect(first).toMatchObject({ exitCode: 7 });
    expect(text(first)).toBe('ran\n');
  });

  test('running: a new worker attaches and gets the whole output', async () => {
    const which = command('echo first; sleep 1; echo last');
    await begin(which);
    await host.attach();
    expect(text(finished(await submit(which)))).toBe('first\nlast\n');
  });

  test('the runner died: its session is killed, the command is unknown, and what was seen is told', async () => {
    const which = command('echo $$ >pid; sleep 300 & echo ran | tee -a count; sleep 300');
    await begin(which);
    const { runner, sid } = started(which);
    process.kill(Number(runner), 'SIGKILL');
    const status = await submit(which);
    expect(status).toMatchObject({ kind: 'void', reason: 'runner_died' });
    if (status.kind === 'void') expect(Buffer.from(status.output.head).toString()).toBe('ran\n');
    await waitFor('its session to be gone', () => !sessionLives(Number(sid)));
    expect(await submit(which)).toEqual(status);
    expect(readFileSync(join(host.machine.home, 'count'), 'utf8')).toBe('ran\n');
  });

  test('the boot changed while it ran: unknown, and never runs again', async () => {
    const which = command('echo ran | tee -a count; sleep 300');
    const { bootId } = (await host.current()).identity;
    await begin(which);
    await host.crash();
    const status = await submit(which, bootId);
    expect(status).toMatchObject({ kind: 'void', reason: 'boot_changed' });
    if (status.kind === 'void') expect(Buffer.from(status.output.head).toString()).toBe('ran\n');
    expect(await submit(which, bootId)).toEqual(status);
    expect(readFileSync(join(host.machine.home, 'count'), 'utf8')).toBe('ran\n');
  });

  test('a start that was torn by a crash: unknown', async () => {
    const which = command('echo ran >>count');
    await host.run('true'); // makes the journal
    writeFileSync(file(which, 'started'), 'boot=');
    expect(await submit(which)).toMatchObject({ kind: 'void', reason: 'runner_died' });
    expect(existsSync(join(host.machine.home, 'count'))).toBe(false);
  });

  test('stopped before it was ever sent: a late copy of it does not run', async () => {
    const which = command('echo ran >>count');
    const attachment = await host.current();
    const stopped = await attachment.stop(which.cmdId, { submittedBootId: undefined, signal: deadline() });
    expect(stopped).toMatchObject({ kind: 'void', reason: 'stopped_before_start' });
    expect(await submit(which)).toEqual(stopped);
    expect(existsSync(join(host.machine.home, 'count'))).toBe(false);
  });

  test('stopped under another boot than it was sent to, and not known: unknown', async () => {
    const which = command('echo ran >>count');
    const attachment = await host.current();
    const stopped = await attachment.stop(which.cmdId, { submittedBootId: OTHER_BOOT, signal: deadline() });
    expect(stopped).toMatchObject({ kind: 'void', reason: 'disk_rolled_back' });
    expect(await submit(which)).toEqual(stopped);
  });

  test('another owner is refused, and so is a lower attachment', async () => {
    const first = await host.attach(5);
    const request = { machineId: 'machine', attachment: 9, ownerNonce: 'owner-2', signal: deadline() };
    await expect(host.guest.attach(request)).rejects.toMatchObject({ code: 'GUEST_CONFLICT' });
    const lower = { ...request, ownerNonce: 'owner-1', attachment: 4 };
    await expect(host.guest.attach(lower)).rejects.toMatchObject({ code: 'ATTACHMENT_FENCED' });
    const status = await first.run(command('echo mine'), { submittedBootId: undefined, signal: deadline() });
    expect(text(finished(status))).toBe('mine\n');
  });

  test('a higher attachment fences out the one before: it runs and stops nothing any more', async () => {
    const first = await host.attach(1);
    const running = command('echo begun; sleep 1; echo done');
    await begin(running);
    const second = await host.attach(2);
    const late = command('echo ran >>count');
    const options = { submittedBootId: undefined, signal: deadline() };
    await expect(first.run(late, options)).rejects.toMatchObject({
      code: expect.stringMatching(/^(ATTACHMENT_FENCED|GUEST_UNREACHABLE)$/) as string,
    });
    await expect(first.stop(running.cmdId, { submittedBootId: undefined, signal: deadline() })).rejects.toMatchObject({
      code: expect.stringMatching(/^(ATTACHMENT_FENCED|GUEST_UNREACHABLE)$/) as string,
    });
    expect(first.isBroken).toBe(true);
    expect(finished(await second.run(running, options))).toMatchObject({ exitCode: 0, stopped: false });
    expect(existsSync(join(host.machine.home, 'count'))).toBe(false);
  });

  describe('stop', () => {
    test('a running tree of processes dies at once, and its record says by what', async () => {
      const which = command(
        '(sleep 300; echo no) & bash -c "sleep 300; echo no" & setsid sleep 300 & echo begun; sleep 300; echo no',
      );
      await begin(which);
      const attachment = await host.current();
      const stopped = finished(await attachment.stop(which.cmdId, { submittedBootId: undefined, signal: deadline() }));
      expect(stopped).toMatchObject({ exitCode: undefined, signal: 'SIGTERM', stopped: true, timedOut: false });
      expect(text(stopped)).toBe('begun\n');
      expect(commandsNamed(host, 'sleep')).toEqual([]);
      expect(finished(await submit(which))).toEqual(stopped);
    });

    test('who catches INT gets its time, who ignores everything is killed', async () => {
      const polite = command(
        `exec bash -c 'trap "echo cleaned; exit 9" INT; echo begun; while :; do sleep 0.05; done'`,
      );
      await begin(polite);
      const attachment = await host.current();
      const first = finished(await attachment.stop(polite.cmdId, { submittedBootId: undefined, signal: deadline() }));
      expect(first).toMatchObject({ exitCode: 9, stopped: true });
      expect(text(first)).toBe('begun\ncleaned\n');
      const stubborn = command(`exec bash -c 'trap "" INT TERM; echo begun; while :; do sleep 0.05; done'`);
      await begin(stubborn);
      const second = finished(
        await attachment.stop(stubborn.cmdId, { submittedBootId: undefined, signal: deadline(), graceMs: 100 }),
      );
      expect(second).toMatchObject({ exitCode: undefined, signal: 'SIGKILL', stopped: true });
    });

    test('the wait of the command itself ends with the stop', async () => {
      const which = command('echo begun; sleep 300');
      const attachment = await host.current();
      const waiting = attachment.run(which, { submittedBootId: undefined, signal: deadline() });
      await waitFor('the command to have begun', () => existsSync(file(which, 'started')));
      const stopped = await attachment.stop(which.cmdId, { submittedBootId: undefined, signal: deadline() });
      expect(await waiting).toEqual(stopped);
      expect(finished(stopped).stopped).toBe(true);
    });

    test('a command that is over is left as it is', async () => {
      const which = command('echo over');
      const result = await submit(which);
      const attachment = await host.current();
      expect(await attachment.stop(which.cmdId, { submittedBootId: undefined, signal: deadline() })).toEqual(result);
    });

    test('works when the command’s own runner is dead', async () => {
      const which = command('echo begun; sleep 300');
      await begin(which);
      process.kill(Number(started(which)['runner']), 'SIGKILL');
      const attachment = await host.attach();
      const status = await attachment.stop(which.cmdId, { submittedBootId: undefined, signal: deadline() });
      expect(status).toMatchObject({ kind: 'void', reason: 'runner_died' });
      expect(commandsNamed(host, 'sleep')).toEqual([]);
    });
  });
});

function fields(line: string): Record<string, string> {
  return Object.fromEntries(
    line
      .trim()
      .split(' ')
      .map((token) => token.split('=') as [string, string]),
  );
}

function bytesOf(path: string): number {
  return existsSync(path) ? readFileSync(path).length : 0;
}

function sessionLives(sid: number): boolean {
  return readdirSync('/proc').some((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      const [state, , , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return session === String(sid) && state !== 'Z';
    } catch {
      return false; // Not a process, or gone meanwhile.
    }
  });
}

function commandsNamed(host: AttachedMachine, name: string): number[] {
  return host.machine.processes().filter((pid) => {
    try {
      return (
        readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === name &&
        !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
      );
    } catch {
      return false; // It ended meanwhile.
    }
  });
}
