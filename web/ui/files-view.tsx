/** Files of the machine: a folder at a time, what can be done with each entry, and what is on its way. Closed until somebody wants it. */
import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { FolderEntry, Machine } from '../api/answers.js';
import { now } from '../clock.js';
import type { Files, OpenFolder } from '../room/files.js';
import type { Room } from '../room/room.js';
import { plainText } from '../text/plain.js';
import { showBytes } from '../text/sizes.js';
import { showAge } from '../text/times.js';
import { ProblemNote } from './problem-note.js';
import { SendingsView } from './sendings-view.js';

interface FilesViewProps {
  readonly room: Room;
  readonly phase: Machine['phase'];
}

export function FilesView({ room, phase }: FilesViewProps) {
  const { files } = room;
  const isAwake = phase === 'ready';
  const isOpen = useSignal(false);
  const isWanted = isOpen.value && isAwake && files.folder.value === null;
  useEffect(() => {
    if (isWanted) void files.open('');
  }, [isWanted]);
  return (
    <details class="files" onToggle={({ currentTarget }) => (isOpen.value = currentTarget.open)}>
      <summary>Files</summary>
      {isAwake ? <Folder files={files} /> : <Asleep room={room} phase={phase} />}
    </details>
  );
}

function Asleep({ room, phase }: FilesViewProps) {
  const isComing = phase === 'waking' || phase === 'provisioning' || phase === 'bootstrapping';
  return (
    <>
      <p class="hint">Files can be seen while the machine is awake.</p>
      <button type="button" aria-disabled={isComing} onClick={() => isComing || room.askMachine('wake')}>
        {isComing ? 'It is waking …' : 'Wake the machine and show its files'}
      </button>
    </>
  );
}

function Folder({ files }: { readonly files: Files }) {
  const folder = files.folder.value;
  const input = useRef<HTMLInputElement>(null);
  const isOver = useSignal(false);

  function send(list: FileList | null): void {
    if (list !== null && list.length > 0) void files.send([...list]);
  }

  return (
    <div
      class={isOver.value ? 'files-drop over' : 'files-drop'}
      onDragOver={(event) => {
        event.preventDefault();
        isOver.value = true;
      }}
      onDragLeave={() => (isOver.value = false)}
      onDrop={(event) => {
        event.preventDefault();
        isOver.value = false;
        send(event.dataTransfer?.files ?? null);
      }}
    >
      <Path path={folder?.path ?? ''} onOpen={(path) => void files.open(path)} />
      <ProblemNote problem={files.problem.value} />
      <SendingsView files={files} />
      {folder === null ? (
        <p class="hint">{files.isBusy.value ? 'Reading …' : ''}</p>
      ) : (
        <Entries files={files} folder={folder} />
      )}
      <div class="buttons">
        <button type="button" onClick={() => input.current?.click()}>
          Upload files
        </button>
        <button type="button" class="quiet" onClick={() => void files.open(folder?.path ?? '')}>
          Look again
        </button>
        <input
          ref={input}
          class="unseen"
          type="file"
          multiple
          tabIndex={-1}
          aria-label="Files to upload"
          onChange={({ currentTarget }) => {
            send(currentTarget.files);
            // The same file may be chosen again.
            currentTarget.value = '';
          }}
        />
      </div>
      <p class="hint">Or drop files here. Up to 32 MiB each.</p>
    </div>
  );
}

/** The way to the folder; each part leads there. */
function Path({ path, onOpen }: { readonly path: string; readonly onOpen: (path: string) => void }) {
  const names = path === '' ? [] : path.split('/');
  return (
    <nav class="files-path" aria-label="Folder">
      {['Home', ...names].map((name, at) => (
        <button
          type="button"
          class="quiet"
          key={at}
          aria-current={at === names.length ? 'location' : undefined}
          onClick={() => onOpen(names.slice(0, at).join('/'))}
        >
          {plainText(name)}
        </button>
      ))}
    </nav>
  );
}

function Entries({ files, folder }: { readonly files: Files; readonly folder: OpenFolder }) {
  /** The one that is about to be deleted, if somebody says so once more. */
  const doomed = useSignal<string | null>(null);
  const list = useRef<HTMLUListElement>(null);

  /** What had the focus is gone. */
  function spare(): void {
    doomed.value = null;
    list.current?.focus();
  }

  return (
    <>
      {folder.entries.length === 0 && <p class="hint">The folder is empty.</p>}
      <ul class="entries" aria-label="Entries" aria-busy={files.isBusy.value} tabIndex={-1} ref={list}>
        {folder.entries.map((entry) => (
          <li key={entry.path ?? entry.name}>
            <Name files={files} entry={entry} />
            <span class="entry-about">
              {entry.kind === 'file' ? showBytes(entry.size) : entry.kind}
              {' · '}
              {showAge(now.value - Date.parse(entry.modifiedAt))}
            </span>
            {entry.path !== null &&
              (doomed.value === entry.path ? (
                <Doom entry={entry} onKeep={spare} onDelete={() => void files.remove(entry).then(spare)} />
              ) : (
                <button
                  type="button"
                  class="quiet"
                  aria-label={`Delete ${plainText(entry.name)}`}
                  onClick={() => (doomed.value = entry.path)}
                >
                  Delete
                </button>
              ))}
          </li>
        ))}
      </ul>
      {folder.next !== null && (
        <button type="button" onClick={() => void files.more()}>
          Show more of {folder.count}
        </button>
      )}
    </>
  );
}

function Name({ files, entry }: { readonly files: Files; readonly entry: FolderEntry }) {
  const { name, path, kind } = entry;
  const text = plainText(name);
  if (path === null || (kind !== 'file' && kind !== 'folder')) return <span class="entry-name">{text}</span>;
  return (
    <button
      type="button"
      class="entry-name"
      aria-label={kind === 'file' ? `Download ${text}` : `Open ${text}`}
      onClick={() => void (kind === 'file' ? files.download(entry) : files.open(path))}
    >
      {kind === 'folder' ? `${text}/` : text}
    </button>
  );
}

interface DoomProps {
  readonly entry: FolderEntry;
  readonly onKeep: () => void;
  readonly onDelete: () => void;
}

/** Nothing comes back: said before it is done, with the harmless answer in front. */
function Doom({ entry, onKeep, onDelete }: DoomProps) {
  const what = entry.kind === 'folder' ? 'Delete it with all that is in it?' : 'Delete it for good?';
  const keep = useRef<HTMLButtonElement>(null);
  // Once: the list is drawn again at each tick of the clock, and the focus may have gone to the other button.
  useLayoutEffect(() => keep.current?.focus(), []);
  return (
    <span class="doom" role="group" aria-label={`${what} ${plainText(entry.name)}`}>
      <span>{what}</span>
      <button type="button" ref={keep} onClick={onKeep}>
        Keep
      </button>
      <button type="button" class="danger" onClick={onDelete}>
        Delete now
      </button>
    </span>
  );
}
