/** The verbs of the gateway that the page uses, typed. */
import type { Folder, Page, TranscriptPage, Turn, TurnState, User, UserDetails } from './answers.js';
import type { Http } from './http.js';
import type { OpenTerminal } from './terminal.js';

const TRANSCRIPT_ENTRIES = 50;
const USERS_OF_PAGE = 200;
const FOLDER_ENTRIES = 200;

export interface Submission {
  readonly turnId: string;
  readonly prompt: string;
}

export interface Submitted {
  readonly turnId: string;
  readonly position: number;
  readonly state: TurnState;
}

export interface Api {
  listUsers(cursor: string | null): Promise<Page<User>>;
  getUser(userId: string): Promise<UserDetails>;
  /** The same submission again answers the same turn. */
  submit(userId: string, submission: Submission): Promise<Submitted>;
  getTurn(userId: string, turnId: string): Promise<Turn>;
  queue(userId: string): Promise<readonly Turn[]>;
  removeWaiting(userId: string, turnId: string): Promise<void>;
  cancel(userId: string, turnId: string): Promise<void>;
  askMachine(userId: string, verb: 'sleep' | 'wake'): Promise<void>;
  transcript(userId: string, cursor: string | null): Promise<TranscriptPage>;
  /** Bytes as the command wrote them: hostile. */
  output(userId: string, cmdId: string): Promise<Uint8Array>;
  folder(userId: string, path: string, cursor: string | null): Promise<Folder>;
  readFile(userId: string, path: string, signal: AbortSignal): Promise<Blob>;
  /** `isNew`: only where nothing of this name is. */
  writeFile(userId: string, path: string, upload: FileUpload): Promise<void>;
  /** A folder with all that is in it. */
  deleteFile(userId: string, path: string): Promise<void>;
  /** The event stream behind an id. */
  events(userId: string, after: string, signal: AbortSignal): Promise<Response>;
  readonly openTerminal: OpenTerminal;
}

export interface Upload {
  readonly body: Blob;
  readonly headers?: Readonly<Record<string, string>>;
  /** Of all bytes, from 0 to 1. */
  readonly onProgress: (share: number) => void;
  readonly signal: AbortSignal;
}

/** Rejects with a Problem, or with the signal's reason. */
export type SendFile = (path: string, upload: Upload) => Promise<void>;

export interface FileUpload extends Omit<Upload, 'headers'> {
  readonly isNew: boolean;
}

/** What `fetch` cannot do. */
export interface OtherWays {
  readonly sendFile: SendFile;
  readonly openTerminal: OpenTerminal;
}

export function createApi(http: Http, { sendFile, openTerminal }: OtherWays): Api {
  const json = async <T>(path: string, ask?: Parameters<Http>[1]): Promise<T> =>
    (await (await http(path, ask)).json()) as T;
  const post = async (path: string): Promise<void> => void (await http(path, { method: 'POST' }));
  const of = (userId: string): string => `v1/users/${encodeURIComponent(userId)}`;
  const turnOf = (userId: string, turnId: string): string => `${of(userId)}/turns/${encodeURIComponent(turnId)}`;
  const contentOf = (userId: string, path: string): string =>
    `${of(userId)}/files/content?path=${encodeURIComponent(path)}`;
  const query = (limit: number, cursor: string | null): string =>
    `?limit=${limit}${cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`}`;

  return {
    listUsers: (cursor) => json(`v1/users${query(USERS_OF_PAGE, cursor)}`),
    getUser: (userId) => json(of(userId)),
    submit: (userId, body) => json(`${of(userId)}/turns`, { method: 'POST', body }),
    getTurn: (userId, turnId) => json(turnOf(userId, turnId)),
    queue: async (userId) => (await json<Page<Turn>>(`${of(userId)}/queue`)).items,
    removeWaiting: async (userId, turnId) =>
      void (await http(`${of(userId)}/queue/${encodeURIComponent(turnId)}`, { method: 'DELETE' })),
    cancel: (userId, turnId) => post(`${turnOf(userId, turnId)}/cancel`),
    askMachine: (userId, verb) => post(`${of(userId)}/machine/${verb}`),
    transcript: (userId, cursor) => json(`${of(userId)}/transcript${query(TRANSCRIPT_ENTRIES, cursor)}`),
    output: async (userId, cmdId) => {
      const response = await http(`${of(userId)}/outputs/${encodeURIComponent(cmdId)}`);
      return new Uint8Array(await response.arrayBuffer());
    },
    folder: (userId, path, cursor) =>
      json(`${of(userId)}/files${query(FOLDER_ENTRIES, cursor)}&path=${encodeURIComponent(path)}`),
    readFile: async (userId, path, signal) => {
      const response = await http(contentOf(userId, path), { signal, isStream: true });
      return response.blob();
    },
    writeFile: (userId, path, { isNew, ...upload }) =>
      sendFile(contentOf(userId, path), { ...upload, headers: isNew ? { 'if-none-match': '*' } : {} }),
    deleteFile: async (userId, path) =>
      void (await http(`${of(userId)}/files?recursive=true&path=${encodeURIComponent(path)}`, { method: 'DELETE' })),
    events: (userId, after, signal) =>
      http(`${of(userId)}/events`, {
        headers: { accept: 'text/event-stream', 'last-event-id': after },
        signal,
        isStream: true,
      }),
    openTerminal,
  };
}
