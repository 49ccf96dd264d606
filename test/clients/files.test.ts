/**
 * Goal: a person's files cross whole or not at all, nothing but the home directory is reached by any spelling of a path, and nobody wakes a machine
 * by looking. Method: the gateway as a process in front of a whole stack, asked over real connections; what became of it is read from the
 * machine's disk, the provider's ledger, Postgres and logs. The script by itself is tested in test/guest/files.test.ts.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type ClientRequest } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FILE_BYTES_MAX, FILE_PIECE_BYTES, FILE_REQUESTS_OF_USER_MAX } from '../../src/contracts/limits.js';
import { say, TURN_MS, untilPhase } from '../e2e/support/actions.js';
import { leakedMachines, openStage, type Stage } from '../e2e/support/stage.js';
import { runProgram } from '../support/run-program.js';
import type { RunningGateway } from '../support/stack.js';
import { waitFor } from '../support/wait-for.js';
import { openIssuer, type Issuer } from '../web/support/issuer.js';
import { snippetsOf } from './support/snippets.js';

const ADA = 'files-ada';
const SECRET = 'files-secret-outside-c41d';
const BIG_BYTES = 20 * 1024 * 1024 + 7;

let stage: Stage;
let gateway: RunningGateway;
let issuer: Issuer;
let key = '';
/** Ada's, as this computer names it. */
let home = '';

beforeAll(async () => {
  [stage, issuer] = await Promise.all([openStage(), openIssuer()]);
  gateway = await stage.stack.startGateway(issuer.settings);
  key = await stage.createKey();
  const prompt = `$ mkdir -p /tmp/outside && echo ${SECRET} >/tmp/outside/secret; ln -s /tmp/outside out; ln -s / root`;
  await say(stage.stack.client, { userId: ADA, turnId: 'begin', prompt });
  home = await stage.home(ADA);
}, 2 * TURN_MS);
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  issuer.close();
  await stage.close();
});

interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array;
  readonly user?: string;
  readonly bearer?: string;
}
const urlOf = (query: string, user = ADA): string => `${gateway.url}/v1/users/${user}/files${query}`;
const ask = (query: string, { user, bearer = key, headers = {}, ...asked }: Asked = {}): Promise<Response> =>
  fetch(urlOf(query, user), { ...asked, headers: { authorization: `Bearer ${bearer}`, ...headers } });
const at = (path: string): string => `/content?path=${encodeURIComponent(path)}`;
const put = (path: string, body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Response> =>
  ask(at(path), { method: 'PUT', body, headers: { 'content-type': 'application/octet-stream', ...headers } });
const get = (path: string, headers: Record<string, string> = {}): Promise<Response> => ask(at(path), { headers });
const remove = (path: string, more = ''): Promise<Response> =>
  ask(`?path=${encodeURIComponent(path)}${more}`, { method: 'DELETE' });
const codeOf = async (answer: Response): Promise<string> => {
  const text = await answer.text();
  return answer.ok ? 'done' : (JSON.parse(text) as { code: string }).code;
};
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const waiting = (of = home): string[] => {
  const folder = join(of, '.innkeeper', 'uploads');
  return existsSync(folder) ? readdirSync(folder) : [];
};
/** A write whose body is sent by hand. */
function beginPut(
  path: string,
  headers: Record<string, string> = {},
): { sending: ClientRequest; status: Promise<number> } {
  const sending = httpRequest(urlOf(at(path)), {
    method: 'PUT',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/octet-stream', ...headers },
  });
  const status = new Promise<number>((resolve, reject) => {
    sending.on('error', reject);
    sending.on('response', (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
  });
  status.catch(() => undefined); // Those that are broken off.
  return { sending, status };
}

describe('a file', () => {
  it('is written, listed, read and deleted', { timeout: TURN_MS }, async () => {
    const written = await put('first/böse & "gut".txt', 'hello');
    expect(written.status).toBe(201);
    expect(await written.json()).toMatchObject({ path: 'first/böse & "gut".txt', size: 5, mode: '0644' });
    expect(readFileSync(join(home, 'first/böse & "gut".txt'), 'utf8')).toBe('hello');
    const folder = (await (await ask('?path=first')).json()) as { items: { path: string; modifiedAt: string }[] };
    expect(folder).toMatchObject({
      items: [{ name: 'böse & "gut".txt', path: 'first/böse & "gut".txt', kind: 'file', size: 5 }],
      ...{ next: null, count: 1 },
    });
    const answer = await get(folder.items[0]?.path ?? '');
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      ...{ 'content-length': '5', 'content-type': 'application/octet-stream', 'x-content-type-options': 'nosniff' },
      'content-disposition': `attachment; filename="b_se____gut_.txt"; filename*=UTF-8''b%C3%B6se%20%26%20%22gut%22.txt`,
      etag: written.headers.get('etag'),
      'accept-ranges': 'bytes',
    });
    expect(await answer.text()).toBe('hello');
    expect((await put('first/böse & "gut".txt', 'again')).status).toBe(200);
    expect(await codeOf(await remove('first'))).toBe('FOLDER_NOT_EMPTY');
    expect(await (await remove('first', '&recursive=true')).json()).toEqual({ deleted: true });
    expect(existsSync(join(home, 'first'))).toBe(false);
    expect(await codeOf(await get('first/x'))).toBe('FILE_UNKNOWN');
  });

  it('is read by ranges, and not again where it is known', { timeout: TURN_MS }, async () => {
    const bytes = randomBytes(2 * FILE_PIECE_BYTES + 100);
    const etag = (await put('ranges', bytes)).headers.get('etag') ?? '';
    const size = bytes.length;
    for (const [range, start, end] of [
      ['bytes=0-0', 0, 1],
      [`bytes=${FILE_PIECE_BYTES - 2}-${FILE_PIECE_BYTES + 2}`, FILE_PIECE_BYTES - 2, FILE_PIECE_BYTES + 3],
      ['bytes=-7', size - 7, size],
      ['bytes=10-', 10, size],
    ] as const) {
      const answer = await get('ranges', { range });
      expect([answer.status, answer.headers.get('content-range')]).toEqual([206, `bytes ${start}-${end - 1}/${size}`]);
      expect(Buffer.from(await answer.arrayBuffer()).equals(bytes.subarray(start, end)), range).toBe(true);
    }
    const beyond = await get('ranges', { range: `bytes=${size}-` });
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, `bytes */${size}`]);
    expect(await codeOf(beyond)).toBe('RANGE_NOT_SATISFIABLE');
    expect((await get('ranges', { range: 'bytes=0-1,3-4' })).status).toBe(200);
    const known = await get('ranges', { 'if-none-match': `W/"x", ${etag}` });
    expect([known.status, await known.text()]).toEqual([304, '']);
    expect((await get('ranges', { range: 'bytes=0-1', 'if-range': etag })).status).toBe(206);
    expect((await get('ranges', { range: 'bytes=0-1', 'if-range': '"another"' })).status).toBe(200);
    const head = await ask(at('ranges'), { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length'), head.headers.get('etag')]).toEqual([
      200,
      String(size),
      etag,
    ]);
    await put('empty', '');
    expect([await (await get('empty')).text(), (await get('empty', { range: 'bytes=0-' })).status]).toEqual(['', 416]);
  });

  it('is written only where it is what was expected', { timeout: TURN_MS }, async () => {
    const none = { 'if-none-match': '*' };
    const first = await put('if/f', 'one', none);
    const match = { 'if-match': first.headers.get('etag') ?? '' };
    expect(first.status).toBe(201);
    expect(await codeOf(await put('if/f', 'x', none))).toBe('PRECONDITION_FAILED');
    expect(await codeOf(await put('if/f', 'two', match))).toBe('done');
    expect((await put('if/f', 'x', match)).status).toBe(412);
    expect((await put('if/f', 'x', { 'if-match': `W/${match['if-match']}, "foreign"` })).status).toBe(412);
    expect((await put('if/none', 'x', { 'if-match': '*' })).status).toBe(412);
    expect((await put('if/f', 'x', { 'if-none-match': '"a"' })).status).toBe(400);
    expect((await put('if/f', 'three', { 'if-match': '*' })).status).toBe(200);
    expect([readFileSync(join(home, 'if/f'), 'utf8'), readdirSync(join(home, 'if'))]).toEqual(['three', ['f']]);
  });

  it('of 20 MB crosses both ways unharmed', { timeout: 2 * TURN_MS }, async () => {
    const bytes = randomBytes(BIG_BYTES);
    expect((await put('big', bytes)).status).toBe(201);
    expect(sha256(readFileSync(join(home, 'big')))).toBe(sha256(bytes));
    const { answer } = await say(stage.stack.client, { userId: ADA, turnId: 'sum', prompt: '$ sha256sum big' });
    expect(answer).toContain(sha256(bytes));
    expect(sha256(Buffer.from(await (await get('big')).arrayBuffer()))).toBe(sha256(bytes));
    expect(waiting()).toEqual([]);
    await remove('big');
  });

  it(
    'that is too large, of another type or a folder is refused, and nothing is left',
    { timeout: TURN_MS },
    async () => {
      const { sending, status } = beginPut('large', { 'content-length': String(FILE_BYTES_MAX + 1) });
      sending.flushHeaders();
      expect(await status).toBe(413);
      sending.destroy();
      // Of a length that nobody told.
      async function* endless(): AsyncGenerator<Uint8Array> {
        for (let sent = 0; sent <= FILE_BYTES_MAX; sent += FILE_PIECE_BYTES)
          yield await Promise.resolve(new Uint8Array(FILE_PIECE_BYTES));
      }
      const chunked = await fetch(urlOf(at('large')), {
        ...{ method: 'PUT', body: ReadableStream.from(endless()), duplex: 'half' },
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/octet-stream' },
      });
      expect([chunked.status, await codeOf(chunked)]).toEqual([413, 'FILE_TOO_LARGE']);
      expect((await put('large', '{}', { 'content-type': 'application/json' })).status).toBe(415);
      expect(await codeOf(await put('large/', 'x'))).toBe('PATH_REFUSED');
      expect([existsSync(join(home, 'large')), waiting()]).toEqual([false, []]);
    },
  );

  it('whose sender is gone is not there, not even half', { timeout: TURN_MS }, async () => {
    await put('kept', 'old');
    for (const path of ['kept', 'half/way']) {
      const { sending } = beginPut(path, { 'content-length': String(3 * FILE_PIECE_BYTES) });
      sending.write(Buffer.alloc(2 * FILE_PIECE_BYTES, 1));
      await waitFor('bytes are on the machine', () => waiting().some((name) => sizeOf(name) >= 2 * FILE_PIECE_BYTES));
      sending.destroy();
      await waitFor('they are gone again', () => waiting().length === 0);
    }
    expect([readFileSync(join(home, 'kept'), 'utf8'), existsSync(join(home, 'half'))]).toEqual(['old', false]);

    function sizeOf(name: string): number {
      return statSync(join(home, '.innkeeper', 'uploads', name), { throwIfNoEntry: false })?.size ?? 0;
    }
  });

  it('whose gateway is killed is not there either, and another gateway goes on', { timeout: TURN_MS }, async () => {
    const { sending, status } = beginPut('killed', { 'content-length': String(2 * FILE_PIECE_BYTES) });
    sending.write(Buffer.alloc(FILE_PIECE_BYTES, 1));
    await waitFor('it has begun', () => waiting().length === 1);
    gateway.process.signal('SIGKILL');
    await gateway.process.exited;
    await expect(status).rejects.toThrow();
    gateway = await stage.stack.startGateway({ ...issuer.settings, GATEWAY_PORT: new URL(gateway.url).port });
    expect(existsSync(join(home, 'killed'))).toBe(false);
    expect((await put('killed', 'whole')).status).toBe(201);
    expect(readFileSync(join(home, 'killed'), 'utf8')).toBe('whole');
  });
});

describe('a folder', () => {
  it('comes by pages, each name once and in order, whatever is made meanwhile', { timeout: TURN_MS }, async () => {
    mkdirSync(join(home, 'pages'));
    const names = Array.from({ length: 25 }, (_, n) => `n${String(n).padStart(2, '0')}`);
    for (const name of names) writeFileSync(join(home, 'pages', name), '');
    writeFileSync(Buffer.concat([Buffer.from(join(home, 'pages/n')), Buffer.from([0xff])]), '');
    const seen: { name: string; path: string | null }[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const page = (await (await ask(`?path=pages/&limit=10&cursor=${cursor}`)).json()) as {
        items: { name: string; path: string | null }[];
        next: string | null;
      };
      seen.push(...page.items);
      cursor = page.next;
      if (seen.length === 10) writeFileSync(join(home, 'pages', 'n00-late'), '');
    }
    expect(seen.map(({ path }) => path)).toEqual([...names.map((name) => `pages/${name}`), null]);
    expect(await codeOf(await ask('?path=pages&cursor=%2F'))).toBe('INVALID_INPUT');
    expect((await ask('?path=pages&limit=0')).status).toBe(400);
  });

  it('does not show the journal', { timeout: TURN_MS }, async () => {
    const { items } = (await (await ask('')).json()) as { items: { name: string; kind: string }[] };
    expect(items.map(({ name }) => name)).not.toContain('.innkeeper');
    expect(items).toEqual(expect.arrayContaining([expect.objectContaining({ name: 'out', kind: 'link' })]));
  });
});

describe('a path', () => {
  const UP = '..%2F'.repeat(12);
  /** As they stand in the query. */
  const PATHS = [
    ...['..', '../', '%2e%2e', '%2E%2E%2F', '.%2e/', 'a/../..', 'a%2F..%2F..', '/..', '//../', './..', '..%2Foutside'],
    ...[
      `${UP}etc%2Fpasswd`,
      '/etc/passwd',
      '%2Fetc%2Fpasswd',
      '//etc/passwd',
      '/tmp/outside/secret',
      '/proc/self/environ',
    ],
    ...[
      '/home/machine/../../tmp/outside/secret',
      '/home/machinex',
      '/home',
      '/',
      'out/secret',
      'out%2Fsecret',
      'out/',
      'out/.',
    ],
    ...['root/tmp/outside/secret', 'root/home/machine/notes', 'out/../out/secret', './/out//secret'],
    // Double, overlong, NUL, line ends, and what is no UTF-8.
    ...['%252e%252e%252fetc%252fpasswd', '..%252fsecret', '%c0%ae%c0%ae%c0%afetc%c0%afpasswd', '%e0%80%ae%e0%80%ae/x'],
    ...[
      '%00',
      'a%00/../../etc/passwd',
      'secret%00.txt',
      '..%0a/..',
      '%0a/../..',
      '%ff%fe',
      '%ed%a0%80',
      '%',
      '%2',
      '%zz',
      '..\\..\\x%00',
    ],
    ...[
      '.innkeeper',
      '.innkeeper/',
      '.innkeeper/journal',
      '%2einnkeeper/journal',
      './.innkeeper/uploads/x',
      '/home/machine/.innkeeper/x',
    ],
    ...['x/../.innkeeper/journal', 'a/'.repeat(2_100), 'n'.repeat(256)],
  ];

  it('that leads elsewhere is refused by every verb, in every spelling', { timeout: 3 * TURN_MS }, async () => {
    const journal = readdirSync(join(home, '.innkeeper', 'journal')).toSorted();
    const entries = readdirSync(home).toSorted();
    for (const path of PATHS) {
      for (const [verb, query, asked] of [
        ['list', `?path=${path}`, {}],
        ['read', `/content?path=${path}`, {}],
        ['write', `/content?path=${path}`, { method: 'PUT', body: new Uint8Array([120]) }],
        ['delete', `?path=${path}&recursive=true`, { method: 'DELETE' }],
      ] as const) {
        // What is spelled twice is a name like any other: nothing of it is there.
        if (verb === 'write' && path.includes('%25')) continue;
        const headers = verb === 'write' ? { 'content-type': 'application/octet-stream' } : {};
        const answer = await ask(query, { ...asked, headers });
        const text = await answer.text();
        expect([400, 404, 409], `${verb} ${path}: ${text}`).toContain(answer.status);
        expect(text).not.toContain(SECRET);
        expect(text).not.toContain('root:');
      }
    }
    for (const path of ['', '.', './', '/home/machine', '/home/machine/']) {
      expect([path, await codeOf(await remove(path, '&recursive=true'))]).toEqual([path, 'PATH_REFUSED']);
    }
    expect(readdirSync(home).toSorted()).toEqual(entries);
    expect(readdirSync(join(home, '.innkeeper', 'journal')).toSorted()).toEqual(journal);
    const { answer } = await say(stage.stack.client, {
      ...{ userId: ADA, turnId: 'look', prompt: '$ ls -A /tmp/outside; cat /tmp/outside/secret' },
    });
    expect(answer).toContain(`secret\n${SECRET}`);
  });

  it('through a folder that is swapped for a link all the time never leads out', { timeout: 3 * TURN_MS }, async () => {
    const swap = `mkdir -p d aside race; ln -s /tmp/outside aside/link; echo mine >d/secret
      nohup perl -e 'until (-e "stop") { rename "d", "aside/d"; rename "aside/link", "d" or system("rm -rf d"); rename "d", "aside/link"; rename "aside/d", "d" or system("rm -rf d && mv -T aside/d d"); }' >/dev/null 2>&1 &`;
    await say(stage.stack.client, { userId: ADA, turnId: 'swap', prompt: `$ ${swap.replaceAll('\n', ';')}` });
    const outcomes = new Map<string, number>();
    for (
      let race = 0;
      race < 400 && (race < 40 || !outcomes.has('mine\n') || !outcomes.has('FILE_WRONG_KIND'));
      race += 1
    ) {
      const [read, wrote] = await Promise.all([
        get('d/secret'),
        put(`d/${race}`, 'x'),
        remove('d/gone', '&recursive=true'),
      ]);
      for (const text of [read.ok ? await read.text() : await codeOf(read), await codeOf(wrote)]) {
        outcomes.set(text, (outcomes.get(text) ?? 0) + 1);
      }
    }
    writeFileSync(join(home, 'stop'), '', { mode: 0o666 });
    expect([...outcomes.keys()]).toEqual(expect.arrayContaining(['mine\n', 'FILE_WRONG_KIND', 'done']));
    expect([...outcomes.keys()]).not.toContain(`${SECRET}\n`);
    const { answer } = await say(stage.stack.client, {
      ...{ userId: ADA, turnId: 'swapped', prompt: '$ ls -A /tmp/outside; cat /tmp/outside/secret' },
    });
    expect(answer).toMatch(new RegExp(`\nsecret\n${SECRET}`));
  });
});

describe('a machine that is asleep', () => {
  const VERBS = [
    ['', {}],
    [at('kept'), {}],
    [at('kept'), { method: 'PUT', body: 'x', headers: { 'content-type': 'application/octet-stream' } }],
    ['?path=kept', { method: 'DELETE' }],
  ] as const;

  it('is not woken by anything that is asked, and refuses it', { timeout: TURN_MS }, async () => {
    await stage.stack.client.sleepNow({ userId: ADA });
    await untilPhase(stage, ADA, 'asleep');
    const mark = await stage.provider.mark();
    for (const [query, asked] of VERBS) {
      const answer = await ask(query, asked);
      expect([answer.status, await codeOf(answer)]).toEqual([409, 'MACHINE_ASLEEP']);
    }
    const id = await stage.machineId(ADA);
    expect((await stage.provider.ledger(mark)).filter(({ machineId }) => machineId === id)).toEqual([]);
    expect((await stage.database.machine(ADA))?.phase).toBe('asleep');
  });

  it('is woken once where that is asked for', { timeout: TURN_MS }, async () => {
    const mark = await stage.provider.mark();
    const answers = await Promise.all([ask(`${at('kept')}&wake=true`), ask('?wake=true')]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(await answers[0].text()).toBe('old');
    const id = await stage.machineId(ADA);
    const wakes = (await stage.provider.ledger(mark)).filter(
      (entry) => entry.machineId === id && entry.kind === 'machine.desired' && entry['desiredState'] === 'running',
    );
    expect(wakes).toHaveLength(1);
  });

  it('is not there yet for a new user, and is made where a wake is asked for', { timeout: TURN_MS }, async () => {
    const user = 'files-new';
    expect(await codeOf(await ask('', { user }))).toBe('USER_UNKNOWN');
    await stage.stack.client.createUser({ userId: user });
    expect(await codeOf(await ask('', { user }))).toBe('MACHINE_ASLEEP');
    expect(await stage.database.machine(user)).toBeUndefined();
    const written = await ask(`${at('hello')}&wake=true`, { user, method: 'PUT', body: new Uint8Array([104, 105]) });
    expect(written.status).toBe(201);
    expect(readFileSync(join(await stage.home(user), 'hello'), 'utf8')).toBe('hi');
  });
});

describe('who asks', () => {
  it('reaches their own files by a token, and nobody else any', { timeout: TURN_MS }, async () => {
    const [own, other] = [await issuer.tokenOf(ADA), await issuer.tokenOf('files-eve')];
    expect((await ask(at('kept'), { bearer: own })).status).toBe(200);
    for (const [query, method] of [
      ...[
        ['', 'GET'] as const,
        ['?path=kept', 'DELETE'] as const,
        [at('kept'), 'GET'] as const,
        [at('kept'), 'PUT'] as const,
      ],
    ]) {
      const body = method === 'PUT' ? { body: new Uint8Array([120]) } : {};
      const answer = await ask(query, { method, bearer: other, ...body });
      expect([query, answer.status, await codeOf(answer)]).toEqual([query, 403, 'FORBIDDEN']);
    }
    expect(readFileSync(join(home, 'kept'), 'utf8')).toBe('old');
  });

  it(
    'has a few requests under way at a time, and is leased the machine for as long as they take',
    { timeout: TURN_MS },
    async () => {
      const length = { 'content-length': String(FILE_PIECE_BYTES) };
      const before = waiting().length;
      const held = Array.from({ length: FILE_REQUESTS_OF_USER_MAX }, (_, n) => beginPut(`held-${n}`, length));
      for (const { sending } of held) sending.write(Buffer.from('x'));
      // A file of the gateway that was killed may lie there, too.
      await waitFor('all have begun', () => waiting().length === before + FILE_REQUESTS_OF_USER_MAX);
      const leases = async (): Promise<number> =>
        (
          await stage.sql(`select from machine_leases where user_id = $1 and ended_at is null and kind = 'files'`, [
            ADA,
          ])
        ).length;
      expect(await leases()).toBeGreaterThanOrEqual(FILE_REQUESTS_OF_USER_MAX);
      const more = await get('kept');
      expect([more.status, await codeOf(more)]).toEqual([429, 'FILE_REQUESTS_EXCEEDED']);
      for (const { sending } of held) sending.end(Buffer.alloc(FILE_PIECE_BYTES - 1));
      expect(await Promise.all(held.map(({ status }) => status))).toEqual(held.map(() => 201));
      expect((await get('kept')).status).toBe(200);
      // The one of the gateway that was killed dies by itself.
      await waitFor('the leases end', async () => (await leases()) <= 1);
    },
  );
});

describe('what is written down', () => {
  it('has neither the paths nor the bytes', { timeout: TURN_MS }, async () => {
    const [path, bytes] = ['canary-path-7f31', 'canary-bytes-7f31'];
    await put(path, bytes);
    await get(path);
    await put(`${path}/below`, bytes);
    await get(`../${path}`);
    await remove(path);
    expect(await codeOf(await get(path))).toBe('FILE_UNKNOWN');
    const logs = readdirSync(stage.stack.dataDir).filter((name) => name.endsWith('.log') && name !== 'emulator.log');
    expect(logs.length).toBeGreaterThanOrEqual(2);
    for (const name of logs) {
      const text = readFileSync(join(stage.stack.dataDir, name), 'utf8');
      expect(text, name).not.toContain('canary-');
    }
    const tables = await stage.sql<{ name: string }>(
      "select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'",
    );
    for (const { name } of tables) {
      const rows = await stage.sql(`select from "${name}" as t where t::text like '%canary-%'`);
      expect([name, rows.length]).toEqual([name, 0]);
    }
  });
});

describe('docs/clients.md', () => {
  it('is what a person types, and does as it says', { timeout: TURN_MS }, async () => {
    const user = 'files-docs';
    await stage.stack.client.createUser({ userId: user });
    const typed = snippetsOf('Files', 'sh').join('').replaceAll('/users/ada', `/users/${user}`);
    const env = { INNKEEPER_URL: gateway.url, INNKEEPER_KEY: key };
    const { code, stdout, stderr } = await runProgram('sh', ['-e', '-c', typed], { env, timeoutMs: TURN_MS - 10_000 });
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toContain('"name":"people.csv"');
    expect(stdout).toContain('}id,name\n1,Ada\n2,Bea\n1,Ada{');
    expect(stdout).toMatch(/"size":14[^{]*\{"deleted":true\}\{"deleted":true\}$/);
    expect(readdirSync(await stage.home(user))).not.toContain('data');
  });
});
