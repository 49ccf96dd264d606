/** What is open with one credential: the list of users where it may be seen, and the room of the user who is shown. */
import { signal, type ReadonlySignal } from '@preact/signals';
import type { Api } from './api/innkeeper.js';
import type { Credential } from './credential.js';
import type { Announcements } from './room/announcements.js';
import { openComposer, type Composer } from './room/composer.js';
import { openRoom, type Room } from './room/room.js';
import { openUserList, type UserList } from './user-list.js';

export interface Door {
  readonly credential: Credential;
  /** null: the credential is of one user. */
  readonly userList: UserList | null;
  /** null: nobody is shown. */
  readonly room: ReadonlySignal<Room | null>;
  /** Shows a user, or nobody; with a user's token always that user. */
  show(userId: string | undefined): void;
  close(): void;
}

export function openDoor({
  credential,
  api,
  announcements,
}: {
  readonly credential: Credential;
  readonly api: Api;
  readonly announcements: Announcements;
}): Door {
  const userList = credential.kind === 'key' ? openUserList(api) : null;
  const room = signal<Room | null>(null);
  /** What was written for whom stays, whoever is shown meanwhile. */
  const composers = new Map<string, Composer>();
  const onOnline = (): void => room.value?.feed.hurry();
  addEventListener('online', onOnline);

  function composerOf(userId: string): Composer {
    const known = composers.get(userId);
    if (known !== undefined) return known;
    const composer = openComposer({
      ...{ api, userId },
      onSubmitted(turn) {
        if (room.value?.userId === userId) room.value.submitted(turn);
      },
    });
    composers.set(userId, composer);
    return composer;
  }

  return {
    ...{ credential, userList, room },
    show(userId) {
      const wanted = credential.kind === 'token' ? credential.userId : userId;
      if (room.value?.userId === wanted) return;
      room.value?.close();
      const onUser: UserList['told'] = (user) => userList?.told(user);
      room.value =
        wanted === undefined
          ? null
          : openRoom({ api, userId: wanted, composer: composerOf(wanted), announcements, onUser });
      document.title = wanted === undefined ? 'Innkeeper' : `${wanted} · Innkeeper`;
    },
    close() {
      removeEventListener('online', onOnline);
      userList?.close();
      room.value?.close();
      document.title = 'Innkeeper';
    },
  };
}
