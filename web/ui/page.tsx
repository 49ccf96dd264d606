/** The page as a whole: the form for a key, or three panes side by side; on a narrow screen they are tabs. */
import { useSignal } from '@preact/signals';
import type { Door } from '../door.js';
import type { PageState } from '../page-state.js';
import { Announcer } from './announcer.js';
import { KeyForm } from './key-form.js';
import { MachinePane } from './machine-pane.js';
import { isNarrow, Tabs, type TabName } from './tabs.js';
import { TalkPane } from './talk-pane.js';
import { UsersPane } from './users-pane.js';

export function Page({ state }: { readonly state: PageState }) {
  const door = state.door.value;
  return (
    <>
      {door === null ? (
        <KeyForm refusal={state.refusal.value} onKey={(secret) => state.enter({ kind: 'key', secret })} />
      ) : (
        <Panes door={door} onLeave={state.leave} />
      )}
      <Announcer announcements={state.announcements} />
    </>
  );
}

function Panes({ door, onLeave }: { readonly door: Door; readonly onLeave: () => void }) {
  const room = door.room.value;
  const tab = useSignal<TabName>(room === null && door.userList !== null ? 'users' : 'talk');
  const names: readonly TabName[] = door.userList === null ? ['talk', 'machine'] : ['users', 'talk', 'machine'];
  /** On a narrow screen one pane is there; on a wide one all are. */
  const panel = (name: TabName) =>
    isNarrow.value
      ? ({
          id: `pane-${name}`,
          role: 'tabpanel',
          'aria-labelledby': `tab-${name}`,
          hidden: tab.value !== name,
        } as const)
      : {};

  return (
    <div class="page">
      <a class="skip" href="#message" onClick={focusMessage}>
        Skip to the message box
      </a>
      <header class="bar">
        <h1>Innkeeper</h1>
        {room !== null && <span class="bar-user">{room.userId}</span>}
        <button type="button" class="quiet" onClick={onLeave}>
          Forget the {door.credential.kind}
        </button>
      </header>
      {isNarrow.value && <Tabs names={names} selected={tab} />}
      <div class="panes">
        {door.userList !== null && (
          <div class="pane" {...panel('users')}>
            <UsersPane userList={door.userList} shown={room?.userId} onOpened={() => (tab.value = 'talk')} />
          </div>
        )}
        <div class="pane" {...panel('talk')}>
          <TalkPane room={room} key={room?.userId} />
        </div>
        <div class="pane" {...panel('machine')}>
          <MachinePane room={room} key={room?.userId} isShown={!isNarrow.value || tab.value === 'machine'} />
        </div>
      </div>
    </div>
  );
}

/** The fragment is taken by what is shown. */
function focusMessage(event: Event): void {
  event.preventDefault();
  document.getElementById('message')?.focus();
}
