/** What is shown is what was looked for last, and a name that is taken is asked about. The gateway's part is played by promises that the test settles. */
import { describe, expect, it } from 'vitest';
import { FILE_BYTES_MAX } from '../../../src/contracts/limits.js';
import type { Folder, FolderEntry } from '../../../web/api/answers.js';
import { Problem } from '../../../web/api/http.js';
import type { Api, FileUpload } from '../../../web/api/innkeeper.js';
import { openFiles, type Files } from '../../../web/room/files.js';

const entry = (path: string): FolderEntry => ({
  ...{ name: path.split('/').at(-1) ?? '', path, kind: 'file', size: 1, modifiedAt: '2026-11-28T00:00:00.000Z' },
});
const page = (...paths: string[]): Folder => ({ items: paths.map(entry), next: null, count: paths.length });

interface Asked {
  readonly path: string;
  readonly cursor: string | null;
  readonly settle: (answer: Folder | Error) => Promise<void>;
}
interface Written extends FileUpload {
  readonly path: string;
  readonly settle: (problem?: Problem) => Promise<void>;
}

function nobody(): never {
  throw new Error('nobody downloads here');
}

/** For what is behind a promise to be done. */
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

function openTest(): { files: Files; asked: Asked[]; written: Written[]; deleted: string[]; said: string[] } {
  const [asked, written, deleted, said]: [Asked[], Written[], string[], string[]] = [[], [], [], []];
  const api: Pick<Api, 'folder' | 'writeFile' | 'deleteFile' | 'readFile'> = {
    folder: (_user, path, cursor) =>
      new Promise((resolve, reject) => {
        const settle = (answer: Folder | Error): Promise<void> => {
          if (answer instanceof Error) reject(answer);
          else resolve(answer);
          return turn();
        };
        asked.push({ path, cursor, settle });
      }),
    writeFile: (_user, path, upload) =>
      new Promise((resolve, reject) => {
        const settle = (problem?: Problem): Promise<void> => {
          if (problem === undefined) resolve();
          else reject(problem);
          return turn();
        };
        written.push({ ...upload, path, settle });
      }),
    deleteFile: (_user, path) => Promise.resolve(void deleted.push(path)),
    readFile: nobody,
  };
  const { signal } = new AbortController();
  const files = openFiles({ api, userId: 'ada', say: (words) => void said.push(words), save: nobody, signal });
  return { files, asked, written, deleted, said };
}
const shown = ({ folder }: Files): (string | null)[] => folder.value?.entries.map(({ path }) => path) ?? [];

async function opened(...paths: string[]): Promise<ReturnType<typeof openTest>> {
  const test = openTest();
  void test.files.open('d');
  await test.asked[0]?.settle(page(...paths));
  return test;
}

describe('a folder', () => {
  it('that was opened last is shown, in whatever order the answers come', async () => {
    const { files, asked } = openTest();
    void files.open('a');
    void files.open('b');
    await asked[1]?.settle(page('b/1'));
    await asked[0]?.settle(page('a/1'));
    expect([files.folder.value?.path, shown(files), files.isBusy.value]).toEqual(['b', ['b/1'], false]);
  });

  it('that cannot be opened leaves what is shown, and says why', async () => {
    const { files, asked } = await opened('d/1');
    void files.open('gone');
    await asked[1]?.settle(new Problem({ code: 'FILE_UNKNOWN', status: 404, detail: 'gone', advice: 'List it.' }));
    expect([shown(files), files.problem.value?.code, files.isBusy.value]).toEqual([['d/1'], 'FILE_UNKNOWN', false]);
  });

  it('of several pages grows by what is asked for', async () => {
    const { files, asked } = openTest();
    void files.open('d');
    await asked[0]?.settle({ ...page('d/1'), next: 'c1', count: 2 });
    void files.more();
    expect(asked[1]).toMatchObject({ path: 'd', cursor: 'c1' });
    await asked[1]?.settle({ ...page('d/2'), count: 2 });
    expect(shown(files)).toEqual(['d/1', 'd/2']);
    await files.more();
    expect(asked).toHaveLength(2);
  });
});

describe('files that are sent', () => {
  const TAKEN = new Problem({ code: 'PRECONDITION_FAILED', status: 412, detail: '', advice: '' });

  it('go one after the other, never over what is there, and are shown once they are there', async () => {
    const { files, asked, written, said } = await opened();
    void files.send([new File(['1'], 'one'), new File(['2'], 'two')]);
    await turn();
    expect(written.map(({ path, isNew }) => [path, isNew])).toEqual([['d/one', true]]);
    written[0]?.onProgress(0.5);
    expect(files.sendings.value.map(({ path, share }) => [path, share])).toEqual([
      ['d/one', 0.5],
      ['d/two', 0],
    ]);
    await written[0]?.settle();
    await asked[1]?.settle(page('d/one'));
    expect([shown(files), written[1]?.path, said]).toEqual([['d/one'], 'd/two', ['one is on the machine.']]);
  });

  it('whose name is taken wait for a word, and replace only with it', async () => {
    const { files, asked, written } = await opened('d/one', 'd/two');
    void files.send([new File(['1'], 'one'), new File(['2'], 'two')]);
    await turn();
    await written[0]?.settle(TAKEN);
    await written[1]?.settle(TAKEN);
    expect(files.sendings.value.map(({ share }) => share)).toEqual([null, null]);
    await files.answer('d/one', false);
    expect([files.sendings.value.length, written.length]).toEqual([1, 2]);
    void files.answer('d/two', true);
    await turn();
    expect(written[2]).toMatchObject({ path: 'd/two', isNew: false });
    await written[2]?.settle();
    await asked[1]?.settle(page('d/one', 'd/two'));
    expect([files.sendings.value, files.problem.value]).toEqual([[], null]);
  });

  it('that are too large are not begun', async () => {
    const { files, written } = await opened();
    const large = Object.defineProperty(new File([], 'large'), 'size', { value: FILE_BYTES_MAX + 1 });
    await files.send([large]);
    expect([written, files.problem.value?.code, files.sendings.value]).toEqual([[], 'FILE_TOO_LARGE', []]);
  });
});

it('what is deleted is no longer shown, and said', async () => {
  const { files, asked, deleted, said } = await opened('d/1');
  void files.remove(entry('d/1'));
  await turn();
  await asked[1]?.settle(page());
  expect([deleted, shown(files), said]).toEqual([['d/1'], [], ['1 is deleted.']]);
});
