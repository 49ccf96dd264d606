/** Who is shown, and by which credential: the address's fragment and the tab's storage on one side, the door on the other. */
import { signal, type ReadonlySignal } from '@preact/signals';
import { createHttp, type HttpOptions, type Problem } from './api/http.js';
import { createApi } from './api/innkeeper.js';
import { createOpenTerminal } from './api/terminal.js';
import { createSendFile } from './api/upload.js';
import { loadCredential, parseFragment, storeCredential, toFragment, type Credential } from './credential.js';
import { openDoor, type Door } from './door.js';
import { createAnnouncements, type Announcements } from './room/announcements.js';

export interface PageState {
  /** null: the page asks for a key. */
  readonly door: ReadonlySignal<Door | null>;
  /** Why it asks. */
  readonly refusal: ReadonlySignal<Problem | null>;
  readonly announcements: Announcements;
  enter(credential: Credential): void;
  leave(): void;
}

export function createPageState(): PageState {
  const door = signal<Door | null>(null);
  const refusal = signal<Problem | null>(null);
  const announcements = createAnnouncements();

  function enter(credential: Credential): void {
    door.value?.close();
    storeCredential(sessionStorage, credential);
    const { secret } = credential;
    const options: HttpOptions = {
      base: '',
      secret,
      onRefused(problem) {
        // Of a credential that is still the one in use.
        if (door.value?.credential !== credential) return;
        leave();
        refusal.value = problem;
      },
    };
    refusal.value = null;
    const others = {
      sendFile: createSendFile(options),
      openTerminal: createOpenTerminal({ base: location.href, secret }),
    };
    const opened = openDoor({ credential, api: createApi(createHttp(options), others), announcements });
    door.value = opened;
    opened.show(parseFragment(location.hash).userId);
  }

  function leave(): void {
    door.value?.close();
    storeCredential(sessionStorage, undefined);
    door.value = null;
  }

  /** The fragment says what to show; a credential in it is moved out of sight at once. */
  function arrive(): void {
    const { credential, userId } = parseFragment(location.hash);
    if (credential !== undefined) {
      history.replaceState(null, '', location.pathname + location.search + toFragment(userId));
      return enter(credential);
    }
    if (door.value !== null) return door.value.show(userId);
    const stored = loadCredential(sessionStorage);
    if (stored !== undefined) enter(stored);
  }

  addEventListener('hashchange', arrive);
  arrive();
  return { door, refusal, announcements, enter, leave };
}
