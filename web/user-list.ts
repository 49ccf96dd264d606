/** The list of users, for keys that may see it. It is asked for again and again: the gateway has no stream of everybody. */
import { signal, type ReadonlySignal } from '@preact/signals';
import type { User } from './api/answers.js';
import { asProblem, type Problem } from './api/http.js';
import type { Api } from './api/innkeeper.js';

const LOOK_MS = 10_000;
const PAGES_MAX = 5;

export interface UserList {
  /** Newest activity first; null: not known yet, or not for this key. */
  readonly users: ReadonlySignal<readonly User[] | null>;
  /** There are more than are listed. */
  readonly isCut: ReadonlySignal<boolean>;
  /** False: this key opens users by their ids only. */
  readonly mayList: ReadonlySignal<boolean>;
  readonly problem: ReadonlySignal<Problem | null>;
  /** A user as read elsewhere, and so newer than the list. */
  told(user: User): void;
  close(): void;
}

export function openUserList(api: Api): UserList {
  const users = signal<readonly User[] | null>(null);
  const isCut = signal(false);
  const mayList = signal(true);
  const problem = signal<Problem | null>(null);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isClosed = false;

  async function read(): Promise<void> {
    const found: User[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const { items, next } = await api.listUsers(cursor);
      found.push(...items);
      cursor = next;
      if (next === null) break;
    }
    users.value = found.sort(byActivity);
    isCut.value = cursor !== null;
  }

  async function look(): Promise<void> {
    if (document.visibilityState === 'visible') {
      const met = await read().then(() => null, asProblem);
      problem.value = met;
      if (met?.code === 'FORBIDDEN') mayList.value = false;
      if (met?.code === 'FORBIDDEN' || met?.status === 401) return;
    }
    if (!isClosed) timer = setTimeout(() => void look(), LOOK_MS);
  }

  void look();
  return {
    ...{ users, isCut, mayList, problem },
    told(user) {
      if (users.value === null) return;
      const others = users.value.filter(({ userId }) => userId !== user.userId);
      users.value = [...others, user].sort(byActivity);
    },
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

export function lastActivity({ lastTurnAt, createdAt }: User): string {
  return lastTurnAt ?? createdAt;
}

function byActivity(one: User, other: User): number {
  const isBusy = ({ runningTurnId }: User): number => (runningTurnId === null ? 0 : 1);
  return isBusy(other) - isBusy(one) || lastActivity(other).localeCompare(lastActivity(one));
}
