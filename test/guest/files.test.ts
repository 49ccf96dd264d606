/**
 * Goal: files of the home directory are listed, read and written whole, and nothing else is ever reached, whatever the path says and whatever
 * becomes of the folders meanwhile. Method: the real script in a real shell on a machine made of processes; a process that swaps a folder
 * for a link as fast as it can; answers that are lost or cut short on their way.
 */
import { execFileSync, spawn } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes, randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { InnkeeperError } from '../../src/contracts/errors.js';
import { FILE_PIECE_BYTES, FILE_PIECE_BYTES_MIN, FOLDER_ENTRIES_MAX } from '../../src/contracts/limits.js';
import { createFiles, type Files, type FilesOf, type Wanted } from '../../src/guest/files.js';
import type { ExecutionResult, MachineProvider } from '../../src/machines/provider.js';
import { deadline } from './support/attached.js';
import { LocalMachine } from './support/local-machine.js';

const OWN = '.innkeeper';
const UPLOADS = join(OWN, 'uploads');
const SECRET = 'not for anybody\n';
const RACES_MIN = 60;
const RACES_MAX = 600;

let machine: LocalMachine;
let files: Files;
/** A folder beside the home directory, with a file in it. */
let outside: string;

beforeEach(() => {
  machine = new LocalMachine();
  files = createFiles({ newKey: randomUUID });
  outside = mkdtempSync(join(tmpdir(), 'guest-outside-'));
  writeFileSync(join(outside, 'secret'), SECRET);
  mkdirSync(join(machine.home, OWN));
  writeFileSync(join(machine.home, OWN, 'secret'), SECRET);
});
afterEach(async () => {
  await machine.dispose();
  rmSync(outside, { recursive: true, force: true });
});

function of(execute: MachineProvider['execute'] = machine.provider.execute): FilesOf {
  const signal = deadline();
  setMaxListeners(0, signal); // One for each execution of the local machine.
  return { machines: { execute }, machineId: 'machine', signal };
}
const at = (...names: string[]): string => join(machine.home, ...names);
async function* once(bytes: string | Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from(bytes));
}
const write = (path: string, bytes: string | Uint8Array, wanted: Wanted = 'any', where = of()) =>
  files.write(where, { path, content: once(bytes), wanted });
async function read(path: string, where = of()): Promise<Buffer> {
  const { about } = await files.open(where, { path, bytes: 0 });
  return collect(files.read(where, { path, about, start: 0, end: about.size }));
}
async function collect(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}
const list = (path: string, after = '', limit = 100) => files.list(of(), { path, after: Buffer.from(after), limit });
const remove = (path: string, isRecursive = false) => files.remove(of(), { path, isRecursive });
const bash = (script: string, argument: string): unknown => execFileSync('/bin/bash', ['-c', script, argument]);
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (InnkeeperError.is(error) ? error.code : String(error)),
  );
const untouched = (): void => {
  expect(readdirSync(outside)).toEqual(['secret']);
  expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe(SECRET);
  expect(readFileSync(at(OWN, 'secret'), 'utf8')).toBe(SECRET);
};

describe('a folder', () => {
  test('is listed in the order of its names, page by page, each with what it is; the journal is not shown', async () => {
    mkdirSync(at('b'));
    writeFileSync(at('a'), 'four', { mode: 0o640 });
    symlinkSync('/etc', at('c'));
    bash('mkfifo "$0"', at('d'));
    const { entries, count, hasMore } = await list('');
    expect(entries.map(({ name, kind }) => [name.toString(), kind])).toEqual([
      ...[['a', 'file'] as const, ['b', 'folder'] as const, ['c', 'link'] as const, ['d', 'other'] as const],
    ]);
    expect([count, hasMore]).toEqual([4, false]);
    expect(entries[0]).toMatchObject({ size: 4, mode: '0640' });
    expect(entries[0]?.modifiedAt.getTime()).toBeCloseTo(statSync(at('a')).mtimeMs, -1);
    const second = await list('', 'b', 1);
    expect([second.entries.map(({ name }) => name.toString()), second.hasMore]).toEqual([['c'], true]);
    expect((await list('', 'd')).entries).toEqual([]);
    expect((await list(machine.home)).entries).toHaveLength(4);
  });

  test('shows any name that a disk can hold, and hands it back', async () => {
    const names = ['a\nb', '-', '--help', "it's", ' ', 'ü', '*', '$(id)', '\\', '\u0001'];
    for (const name of names) writeFileSync(at(name), name);
    writeFileSync(Buffer.concat([Buffer.from(`${machine.home}/`), Buffer.from([0xff, 0xfe])]), '');
    const { entries } = await list('.');
    expect(entries.map(({ name }) => name.toString('latin1'))).toEqual(
      [...names.map((name) => Buffer.from(name).toString('latin1')), '\u00ff\u00fe'].toSorted(),
    );
    for (const name of names) expect((await read(name)).toString()).toBe(name);
    for (const name of names) await remove(name);
    expect((await list('')).entries).toHaveLength(1);
  });

  test('that holds more than can be sorted is refused', async () => {
    mkdirSync(at('many'));
    bash(`cd "$0" && seq ${FOLDER_ENTRIES_MAX} | xargs touch`, at('many'));
    const { entries, count } = await list('many', '9999', 1);
    expect([entries.length, count]).toEqual([0, FOLDER_ENTRIES_MAX]);
    writeFileSync(at('many', 'more'), '');
    expect(await codeOf(list('many'))).toBe('FOLDER_TOO_LARGE');
  });
});

describe('a file', () => {
  test('of several pieces comes back as it was written, and any part of it is read', async () => {
    const bytes = randomBytes(3 * FILE_PIECE_BYTES + 17);
    expect(await write('deep/er/big', bytes)).toMatchObject({ isNew: true, about: { size: bytes.length } });
    expect(readFileSync(at('deep/er/big')).equals(bytes)).toBe(true);
    expect((await read('deep/er/big')).equals(bytes)).toBe(true);
    const { about, first } = await files.open(of(), { path: 'deep/er/big', bytes: 5 });
    expect(first.equals(bytes.subarray(0, 5))).toBe(true);
    const [start, end] = [FILE_PIECE_BYTES - 3, 2 * FILE_PIECE_BYTES + 9];
    const part = await collect(files.read(of(), { path: 'deep/er/big', about, start, end }));
    expect(part.equals(bytes.subarray(start, end))).toBe(true);
    expect(readdirSync(at(UPLOADS))).toEqual([]);
  });

  test('is written in one step, keeps its mode, and is another one from then on', async () => {
    const first = await write('f', 'one');
    const { ino } = statSync(at('f'));
    chmodSync(at('f'), 0o751);
    const second = await write('f', 'two!');
    expect([first.isNew, second.isNew]).toEqual([true, false]);
    expect(second.about).toMatchObject({ size: 4, mode: '0751' });
    expect(statSync(at('f')).ino).not.toBe(ino);
    expect(second.about.stamp).not.toBe(first.about.stamp);
    expect(await write('empty', '')).toMatchObject({ about: { size: 0, mode: '0644' } });
    expect((await read('empty')).length).toBe(0);
  });

  test('is written only where what is there is what was expected', async () => {
    const { about } = await write('f', 'one', 'absent');
    const stamps = [about.stamp];
    expect(await codeOf(write('f', 'x', 'absent'))).toBe('PRECONDITION_FAILED');
    expect(await codeOf(write('none/g', 'x', 'present'))).toBe('PRECONDITION_FAILED');
    expect(await codeOf(write('none/g', 'x', { stamps }))).toBe('PRECONDITION_FAILED');
    expect(await codeOf(write('f', 'x', { stamps: ['1-2-3-4'] }))).toBe('PRECONDITION_FAILED');
    expect(await codeOf(write('f', 'two', { stamps: ['1-2-3-4', ...stamps] }))).toBe('done');
    expect(await codeOf(write('f', 'x', { stamps }))).toBe('PRECONDITION_FAILED');
    expect(await codeOf(write('f', 'six', 'present'))).toBe('done');
    expect([readFileSync(at('f'), 'utf8'), readdirSync(at(UPLOADS)), existsSync(at('none'))]).toEqual([
      'six',
      [],
      false,
    ]);
  });

  test('that many write at once, each where nothing was, is written by one', async () => {
    const writers = Array.from({ length: 8 }, (_, n) => codeOf(write('made/once', `by ${n}`, 'absent')));
    expect((await Promise.all(writers)).filter((code) => code === 'done')).toHaveLength(1);
  });

  test('whose bytes stop to come leaves nothing behind, and what was there stays', async () => {
    await write('f', 'one');
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(2 * FILE_PIECE_BYTES);
      await Promise.reject(new Error('the sender is gone'));
    }
    for (const path of ['f', 'new/g']) {
      const writing = files.write(of(), { path, content: broken(), wanted: 'any' });
      await expect(writing).rejects.toThrow('the sender is gone');
    }
    expect([readFileSync(at('f'), 'utf8'), existsSync(at('new')), readdirSync(at(UPLOADS))]).toEqual([
      'one',
      false,
      [],
    ]);
  });

  test('that nobody finished is swept by a later one', async () => {
    await write('f', 'one');
    writeFileSync(at(UPLOADS, 'upload-dead'), 'half');
    writeFileSync(at(UPLOADS, 'upload-living'), 'half');
    utimesSync(at(UPLOADS, 'upload-dead'), new Date(0), new Date(0));
    await write('f', 'two');
    expect(readdirSync(at(UPLOADS))).toEqual(['upload-living']);
  });

  test('that is written to while it is read is no longer read', async () => {
    await write('f', Buffer.alloc(3 * FILE_PIECE_BYTES, 1));
    const { about } = await files.open(of(), { path: 'f', bytes: 0 });
    const span = { path: 'f', about, start: 0, end: about.size };
    // In place, at its old size.
    bash('printf x 1<>"$0"', at('f'));
    expect(await codeOf(collect(files.read(of(), span)))).toBe('FILE_CHANGED');
    rmSync(at('f'));
    expect(await codeOf(collect(files.read(of(), span)))).toBe('FILE_CHANGED');
  });

  test('that is none is neither read nor written', async () => {
    mkdirSync(at('d'));
    bash('mkfifo "$0"', at('pipe'));
    symlinkSync('d', at('link'));
    symlinkSync('nowhere', at('dangling'));
    for (const path of ['d', 'pipe', 'link', 'dangling', 'link/x', 'pipe/x']) {
      expect([path, await codeOf(read(path))]).toEqual([path, 'FILE_WRONG_KIND']);
      expect([path, await codeOf(write(path, 'x'))]).toEqual([path, 'FILE_WRONG_KIND']);
    }
    for (const path of ['link', 'pipe', 'dangling']) expect(await codeOf(list(path))).toBe('FILE_WRONG_KIND');
    expect([await codeOf(read('none')), await codeOf(list('none'))]).toEqual(['FILE_UNKNOWN', 'FILE_UNKNOWN']);
    expect([readdirSync(at('d')), existsSync(at('nowhere'))]).toEqual([[], false]);
  });
});

describe('what is deleted', () => {
  test('is a file, an empty folder, or a tree where that is asked for; of a link the link', async () => {
    await write('tree/a/b', 'x');
    symlinkSync(outside, at('tree/a/away'));
    symlinkSync(outside, at('away'));
    expect(await codeOf(remove('tree'))).toBe('FOLDER_NOT_EMPTY');
    for (const path of ['away/', 'away/.', 'tree/a/b/'])
      expect(await codeOf(remove(path, true))).toBe('FILE_WRONG_KIND');
    await remove('away');
    await remove('tree', true);
    expect(await codeOf(remove('tree'))).toBe('FILE_UNKNOWN');
    mkdirSync(at('empty'));
    await remove('empty/');
    expect(readdirSync(machine.home)).toEqual([OWN]);
    untouched();
  });

  test('is never the home directory, in whatever words', async () => {
    for (const path of ['', '.', '/', './.', machine.home, `${machine.home}/`, `${machine.home}/.`, '//']) {
      expect([path, await codeOf(remove(path, true))]).toEqual([path, 'PATH_REFUSED']);
    }
    untouched();
  });
});

describe('a path that leads elsewhere', () => {
  test('is refused by every verb, and nothing is done', async () => {
    symlinkSync(outside, at('link'));
    symlinkSync('/', at('root'));
    mkdirSync(at('d'));
    symlinkSync(`../${OWN}`, at('d/own'));
    const up = '../'.repeat(9);
    const paths = [
      ...['..', '../', 'd/..', 'd/../..', `${up}etc/passwd`, '/etc/passwd', '/etc', `${machine.home}/../x`],
      ...[`${machine.home}x/secret`, outside, `${outside}/secret`, `link/secret`, `root${outside}/secret`, 'link/x/y'],
      ...[
        OWN,
        `${OWN}/secret`,
        `./${OWN}/secret`,
        `${machine.home}/${OWN}/secret`,
        `.//${OWN}//secret`,
        'd/own/secret',
      ],
      ...[`${OWN}/uploads/x`, 'd/./../d/x', '/proc/self/root/etc/passwd', '~/x/..', '..\n', '\n/../..'],
    ].map((path) => (path === '..\n' ? `d/../${path}` : path));
    const refused = ['PATH_REFUSED', 'FILE_WRONG_KIND'];
    for (const path of paths) {
      expect(refused, `read ${path}`).toContain(await codeOf(read(path)));
      expect(refused, `write ${path}`).toContain(await codeOf(write(path, 'x')));
      expect(refused, `list ${path}`).toContain(await codeOf(list(path)));
      expect(refused, `delete ${path}`).toContain(await codeOf(remove(path, true)));
    }
    untouched();
    expect(readdirSync(at('d'))).toEqual(['own']);
  });

  test('is not begun where nobody says where home is', async () => {
    const homeless: MachineProvider['execute'] = (machineId, request, options) =>
      machine.provider.execute(machineId, { ...request, env: { HOME: '' } }, options);
    expect(await codeOf(files.list(of(homeless), { path: '', after: Buffer.alloc(0), limit: 9 }))).toBe(
      'GUEST_UNREACHABLE',
    );
    expect(await codeOf(write('f', 'x', 'any', of(homeless)))).toBe('GUEST_UNREACHABLE');
    expect(await codeOf(files.remove(of(homeless), { path: 'f', isRecursive: true }))).toBe('GUEST_UNREACHABLE');
  });

  test('is not followed by what looks like one', async () => {
    for (const path of ['...', '..x', '%2e%2e', '~', '-rf', 'a\\..\\b', '..\u2215x']) {
      await write(path, path);
      expect(readFileSync(at(path), 'utf8')).toBe(path);
    }
  });
});

describe('a folder that is swapped for a link, again and again', () => {
  // Both are moved by single renames: at each moment the name is one of the two, or nothing. A folder that a writer makes in its place
  // gives way.
  const SWAP = `const { renameSync, rmSync, existsSync } = require('node:fs');
    const [dir, aside, link, stop] = process.argv.slice(1);
    const put = (from, to) => {
      for (;;) try { return renameSync(from, to); } catch { rmSync(to, { recursive: true, force: true }); }
    };
    while (!existsSync(stop)) { put(dir, aside); put(link, dir); put(dir, link); put(aside, dir); }`;

  test.each(['d', 'd/in'])('never leads a request out by %s', async (swapped) => {
    mkdirSync(at('d/in'), { recursive: true });
    mkdirSync(at('aside'));
    symlinkSync(outside, at('aside/link'));
    // What is found where the link leads, if it is followed.
    for (const where of [outside, join(outside, 'in')]) {
      mkdirSync(where, { recursive: true });
      writeFileSync(join(where, 'secret'), SECRET);
    }
    const shape = (): string[] => readdirSync(outside, { recursive: true }).map(String).toSorted();
    const before = shape();
    const stop = at('stop');
    const args = [at(swapped), at('aside/dir'), at('aside/link'), stop];
    const swapper = spawn(process.execPath, ['-e', SWAP, ...args], { stdio: 'inherit' });
    const ended = new Promise<number | null>((resolve) => swapper.once('exit', resolve));
    const outcomes = new Map<string, number>();
    try {
      for (let race = 0; race < RACES_MAX && (race < RACES_MIN || !outcomes.has('done')); race += 1) {
        const name = `d/in/${race}`;
        const codes = await Promise.all([
          codeOf(write(name, 'mine')),
          codeOf(read('d/in/secret')),
          codeOf(
            list('d/in').then(({ entries }) =>
              expect(entries.map((entry) => entry.name.toString())).not.toContain('secret'),
            ),
          ),
          codeOf(remove('d/in/secret', true)),
        ]);
        for (const code of codes) outcomes.set(code, (outcomes.get(code) ?? 0) + 1);
        if (race % 5 === 0) expect(shape()).toEqual(before);
      }
    } finally {
      writeFileSync(stop, '');
    }
    expect(await ended).toBe(0);
    expect(shape()).toEqual(before);
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe(SECRET);
    // The link was met, and so was the folder; there is no other outcome.
    expect([...outcomes.keys()].toSorted()).toEqual(
      expect.arrayContaining(['FILE_UNKNOWN', 'FILE_WRONG_KIND', 'done']),
    );
    const known = ['FILE_UNKNOWN', 'FILE_WRONG_KIND', 'GUEST_UNREACHABLE', 'done'];
    expect([...outcomes.keys()].filter((code) => !known.includes(code))).toEqual([]);
    expect(lstatSync(at(swapped)).isDirectory()).toBe(true);
  });

  test('a file that is swapped for a link is read as itself, or not at all', async () => {
    const inside = 'mine, and longer than what is outside\n';
    writeFileSync(at('f'), inside);
    mkdirSync(at('aside'));
    symlinkSync(join(outside, 'secret'), at('aside/link'));
    const stop = at('stop');
    const swapper = spawn(process.execPath, ['-e', SWAP, at('f'), at('aside/f'), at('aside/link'), stop]);
    const ended = new Promise<number | null>((resolve) => swapper.once('exit', resolve));
    const seen = new Set<string>();
    try {
      for (let race = 0; race < RACES_MAX && (race < RACES_MIN || seen.size < 2); race += 1) {
        const reads = Array.from({ length: 3 }, () => read('f').then(String, (error: InnkeeperError) => error.code));
        for (const text of await Promise.all(reads)) seen.add(text);
      }
    } finally {
      writeFileSync(stop, '');
    }
    expect(await ended).toBe(0);
    expect([...seen]).toEqual(expect.arrayContaining([inside, 'FILE_WRONG_KIND']));
    expect([...seen].filter((text) => text !== inside && !/^FILE_(WRONG_KIND|UNKNOWN|CHANGED)$/.test(text))).toEqual(
      [],
    );
  });
});

describe('on a poor way to the machine', () => {
  test('answers that are lost are asked for again, and nothing is damaged', async () => {
    let count = 0;
    const lossy: MachineProvider['execute'] = async (machineId, request, options) => {
      const result = await machine.provider.execute(machineId, request, options);
      count += 1;
      if (count % 2 === 1) throw new InnkeeperError('PROVIDER_UNAVAILABLE', 'the answer is lost', { retryAfterMs: 1 });
      return result;
    };
    const bytes = randomBytes(2 * FILE_PIECE_BYTES + 5);
    expect(await write('f', bytes, 'absent', of(lossy))).toMatchObject({ isNew: true });
    expect(readFileSync(at('f')).equals(bytes)).toBe(true);
    expect((await read('f', of(lossy))).equals(bytes)).toBe(true);
    expect(readdirSync(at(UPLOADS))).toEqual([]);
  });

  test('a command that was refused is sent again under another key', async () => {
    const keys: string[] = [];
    const refusing: MachineProvider['execute'] = (machineId, request, options) => {
      keys.push(options.idempotencyKey);
      if (keys.length > 1) return machine.provider.execute(machineId, request, options);
      const details = { refused: true };
      return Promise.reject(new InnkeeperError('GUEST_UNREACHABLE', 'not routable', { details, retryAfterMs: 1 }));
    };
    await write('f', 'x', 'any', of(refusing));
    expect(new Set(keys).size).toBe(keys.length);
  });

  test('answers that are cut short are asked for in smaller pieces', async () => {
    const most = 2 * FILE_PIECE_BYTES_MIN;
    const cutting: MachineProvider['execute'] = async (machineId, request, options): Promise<ExecutionResult> => {
      const result = await machine.provider.execute(machineId, request, options);
      return { ...result, stdout: result.stdout.slice(0, most), stdoutTruncated: result.stdout.length > most };
    };
    const bytes = randomBytes(FILE_PIECE_BYTES + 3);
    await write('f', bytes);
    expect((await read('f', of(cutting))).equals(bytes)).toBe(true);
    const { first } = await files.open(of(cutting), { path: 'f', bytes: FILE_PIECE_BYTES });
    expect(first.length).toBeLessThan(most);
    expect(bytes.subarray(0, first.length).equals(first)).toBe(true);
  });

  test('bytes that are damaged on their way never become the file', async () => {
    await write('f', 'one');
    const damaging: MachineProvider['execute'] = (machineId, request, options) =>
      machine.provider.execute(
        machineId,
        request.stdin === undefined ? request : { ...request, stdin: Buffer.from('other').toString('base64') },
        options,
      );
    expect(await codeOf(write('f', 'bytes', 'any', of(damaging)))).toBe('GUEST_UNREACHABLE');
    expect([readFileSync(at('f'), 'utf8'), readdirSync(at(UPLOADS))]).toEqual(['one', []]);
  });
});
