/**
 * The files of a user's machine: the folder that is open, and what is on its way. A look is a request to the machine, which keeps it awake
 * for a while: nothing is asked for before somebody opens a folder.
 */
import { signal, type ReadonlySignal } from '@preact/signals';
import { FILE_BYTES_MAX } from '../../src/contracts/limits.js';
import type { FolderEntry } from '../api/answers.js';
import { asProblem, Problem } from '../api/http.js';
import type { Api } from '../api/innkeeper.js';
import { plainText } from '../text/plain.js';

export interface OpenFolder {
  /** Relative to the home directory; empty: that itself. */
  readonly path: string;
  readonly entries: readonly FolderEntry[];
  /** Of all pages. */
  readonly count: number;
  /** null: all are there. */
  readonly next: string | null;
}

export interface Sending {
  readonly path: string;
  readonly file: File;
  /** From 0 to 1; null: there is one of this name, and somebody has to say whether it is replaced. */
  readonly share: number | null;
}

export interface Files {
  /** null: none was opened yet. */
  readonly folder: ReadonlySignal<OpenFolder | null>;
  readonly isBusy: ReadonlySignal<boolean>;
  readonly problem: ReadonlySignal<Problem | null>;
  readonly sendings: ReadonlySignal<readonly Sending[]>;
  open(path: string): Promise<void>;
  more(): Promise<void>;
  /** Into the open folder. What is there is not replaced. */
  send(files: Iterable<File>): Promise<void>;
  /** Answers the question whether what is there is replaced. */
  answer(path: string, replaces: boolean): Promise<void>;
  download(entry: FolderEntry): Promise<void>;
  remove(entry: FolderEntry): Promise<void>;
}

export interface FilesOptions {
  readonly api: Pick<Api, 'folder' | 'readFile' | 'writeFile' | 'deleteFile'>;
  readonly userId: string;
  readonly say: (words: string) => void;
  /** Hands what was downloaded to whoever looks at the page. */
  readonly save: (bytes: Blob, name: string) => void;
  readonly signal: AbortSignal;
}

export function openFiles({ api, userId, say, save, signal: closing }: FilesOptions): Files {
  const folder = signal<OpenFolder | null>(null);
  const isBusy = signal(false);
  const problem = signal<Problem | null>(null);
  const sendings = signal<readonly Sending[]>([]);
  /** Only the last look counts. */
  let looks = 0;

  async function attempt(work: () => Promise<void>): Promise<void> {
    problem.value = null;
    try {
      await work();
    } catch (reason) {
      if (!closing.aborted) problem.value = asProblem(reason);
    }
  }

  async function look(path: string, cursor: string | null): Promise<void> {
    looks += 1;
    const mine = looks;
    isBusy.value = true;
    try {
      const { items, count, next } = await api.folder(userId, path, cursor);
      if (mine !== looks || closing.aborted) return;
      const before = cursor === null ? [] : (folder.value?.entries ?? []);
      folder.value = { path, entries: [...before, ...items], count, next };
    } finally {
      if (mine === looks) isBusy.value = false;
    }
  }

  /** What is shown, anew. */
  async function refresh(): Promise<void> {
    if (folder.value !== null) await look(folder.value.path, null);
  }

  function note(path: string, share: number | null): void {
    sendings.value = sendings.value.map((sending) => (sending.path === path ? { ...sending, share } : sending));
  }

  function forget(path: string): void {
    sendings.value = sendings.value.filter((sending) => sending.path !== path);
  }

  async function sendOne({ path, file }: Sending, isNew: boolean): Promise<void> {
    note(path, 0);
    try {
      if (file.size > FILE_BYTES_MAX) throw tooLarge(file);
      const onProgress = (share: number): void => note(path, share);
      await api.writeFile(userId, path, { body: file, isNew, onProgress, signal: closing });
      forget(path);
      say(`${plainText(file.name)} is on the machine.`);
      await refresh();
    } catch (reason) {
      if (reason instanceof Problem && reason.code === 'PRECONDITION_FAILED') return note(path, null);
      forget(path);
      throw reason;
    }
  }

  return {
    ...{ folder, isBusy, problem, sendings },
    open: (path) => attempt(() => look(path, null)),
    more: () =>
      attempt(async () => {
        const { value } = folder;
        if (value !== null && value.next !== null) await look(value.path, value.next);
      }),
    send: (files) =>
      attempt(async () => {
        if (folder.value === null) return;
        const { path: at } = folder.value;
        const begun = [...files]
          .map((file) => ({ path: join(at, file.name), file, share: 0 }))
          .filter(({ path }) => sendings.value.every((sending) => sending.path !== path));
        sendings.value = [...sendings.value, ...begun];
        // One after the other: the gateway takes few of a user at a time.
        for (const sending of begun) await sendOne(sending, true);
      }),
    answer: (path, replaces) =>
      attempt(async () => {
        const sending = sendings.value.find((each) => each.path === path);
        if (sending === undefined) return;
        if (replaces) await sendOne(sending, false);
        else forget(path);
      }),
    download: ({ name, path }) =>
      attempt(async () => {
        if (path === null) return;
        save(await api.readFile(userId, path, closing), name);
      }),
    remove: ({ name, path }) =>
      attempt(async () => {
        if (path === null) return;
        await api.deleteFile(userId, path);
        say(`${plainText(name)} is deleted.`);
        await refresh();
      }),
  };
}

export function join(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

function tooLarge({ name }: File): Problem {
  const mib = FILE_BYTES_MAX / 1024 / 1024;
  return new Problem({
    ...{ code: 'FILE_TOO_LARGE', status: 413, detail: `${plainText(name)} is larger than ${mib} MiB.` },
    advice: 'Let the agent fetch it.',
  });
}
