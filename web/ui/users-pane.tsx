/** Left: the users with their machines at a glance, and a field to open one by id, which is also how a new one begins. */
import { useSignal } from '@preact/signals';
import type { User } from '../api/answers.js';
import { now } from '../clock.js';
import { toFragment } from '../credential.js';
import { showAge } from '../text/times.js';
import { lastActivity, type UserList } from '../user-list.js';
import { Phase } from './phase.js';
import { ProblemNote } from './problem-note.js';

interface UsersPaneProps {
  readonly userList: UserList;
  /** Id of the user who is shown. */
  readonly shown: string | undefined;
  readonly onOpened: () => void;
}

export function UsersPane({ userList, shown, onOpened }: UsersPaneProps) {
  const users = userList.users.value;
  return (
    <nav class="users" aria-label="Conversations">
      <OpenForm onOpened={onOpened} />
      {userList.mayList.value ? (
        <>
          <ProblemNote problem={userList.problem.value} />
          {users === null && userList.problem.value === null && <p class="hint">Reading the list …</p>}
          {users?.length === 0 && <p class="hint">There is no user yet. Open one by any id you like.</p>}
          <ul>
            {users?.map((user) => (
              <li key={user.userId}>
                <UserLink user={user} isShown={user.userId === shown} onOpened={onOpened} />
              </li>
            ))}
          </ul>
          {userList.isCut.value && <p class="hint">There are more: open them by their ids.</p>}
        </>
      ) : (
        <p class="hint">This key does not list users (scope service): open them by their ids.</p>
      )}
    </nav>
  );
}

function OpenForm({ onOpened }: { readonly onOpened: () => void }) {
  const text = useSignal('');

  function onSubmit(event: Event): void {
    event.preventDefault();
    const userId = text.value.trim();
    if (userId === '') return;
    location.hash = toFragment(userId);
    text.value = '';
    onOpened();
  }

  return (
    <form class="open-form" onSubmit={onSubmit}>
      <label for="user-id">Open a user</label>
      <div class="field">
        <input
          id="user-id"
          type="text"
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          placeholder="id, new or known"
          value={text.value}
          onInput={({ currentTarget }) => (text.value = currentTarget.value)}
        />
        <button type="submit">Open</button>
      </div>
    </form>
  );
}

interface UserLinkProps {
  readonly user: User;
  readonly isShown: boolean;
  readonly onOpened: () => void;
}

function UserLink({ user, isShown, onOpened }: UserLinkProps) {
  const { userId, machine, queueLength, runningTurnId } = user;
  const age = showAge(now.value - Date.parse(lastActivity(user)));
  return (
    <a href={toFragment(userId)} aria-current={isShown ? 'page' : undefined} onClick={onOpened}>
      <span class="user-id">{userId}</span>
      <span class="age">{runningTurnId === null ? age : 'at work'}</span>
      <Phase phase={machine.phase} />
      {queueLength > 1 && <span class="badge">{queueLength - 1} waiting</span>}
    </a>
  );
}
