/** Right: the user's machine, why it is awake and what it costs, and the agent's terminal. */
import { now } from '../clock.js';
import type { Machine, UserDetails } from '../api/answers.js';
import type { Room } from '../room/room.js';
import { plainText } from '../text/plain.js';
import { showDuration } from '../text/times.js';
import { ErrorCodeView } from './error-code-view.js';
import { FilesView } from './files-view.js';
import { KeyboardNote, KeyboardView } from './keyboard-view.js';
import { Phase } from './phase.js';
import { ProblemNote } from './problem-note.js';
import { TerminalView } from './terminal-view.js';

interface MachinePaneProps {
  readonly room: Room | null;
  /** False: another tab is in front. */
  readonly isShown: boolean;
}

export function MachinePane({ room, isShown }: MachinePaneProps) {
  return (
    <aside class="machine" aria-label={room === null ? 'Machine' : `Machine of ${room.userId}`}>
      <h2>Machine</h2>
      {room === null ? <p class="hint">No conversation is open.</p> : <Facts room={room} />}
      {room !== null && <Terminals room={room} isShown={isShown} />}
    </aside>
  );
}

/** The agent's terminal, or the person's own while they have the keyboard, which stays whatever tab is in front. */
function Terminals({ room, isShown }: { readonly room: Room; readonly isShown: boolean }) {
  const state = room.keyboard.state.value;
  const isOwn = state === 'held' || state === 'broken' || state === 'leaving';
  return (
    <>
      <KeyboardNote room={room} />
      <ProblemNote problem={room.keyboard.problem.value} />
      {isOwn && <KeyboardView room={room} leave={() => document.getElementById('keyboard-button')?.focus()} />}
      {!isOwn && isShown && <TerminalView room={room} />}
    </>
  );
}

function Facts({ room }: { readonly room: Room }) {
  const user = room.user.value;
  if (user === null) {
    const isNew = room.feed.state.value === 'new_user';
    return <p class="hint">{isNew ? 'A machine is made with the first message.' : 'Reading …'}</p>;
  }
  // Events come before the next look at the user.
  const told = room.feed.talk.value?.machine;
  const machine: Machine = told === null || told === undefined ? user.machine : { ...user.machine, ...told };
  return (
    <>
      <dl>
        <dt>Phase</dt>
        <dd>
          <Phase phase={machine.phase} />
        </dd>
        <dt>Awake because</dt>
        <dd>{reasonOf(user)}</dd>
        <dt>Sleeps in</dt>
        <dd>{user.machine.sleepsAt === null ? '–' : showRest(Date.parse(user.machine.sleepsAt) - now.value)}</dd>
        <dt>Generation</dt>
        <dd>{machine.generation === 0 ? 'never had one' : machine.generation}</dd>
        <dt>Machine id</dt>
        <dd>{machine.machineId === null ? '–' : <code>{machine.machineId}</code>}</dd>
        <dt>Awake so far</dt>
        <dd>{showDuration(user.awakeSeconds * 1_000)}</dd>
        <dt>Cost so far</dt>
        <dd>{user.cost === null ? 'no prices are set' : showCost(user.cost)}</dd>
        {machine.missing.length > 0 && (
          <>
            <dt>Could not be installed</dt>
            <dd>{machine.missing.map(plainText).join(', ')}</dd>
          </>
        )}
        {user.lastErrorCode !== null && (
          <>
            <dt>Last error</dt>
            <dd>
              <ErrorCodeView code={user.lastErrorCode} />
            </dd>
          </>
        )}
      </dl>
      <MachineButtons room={room} user={user} phase={machine.phase} />
      <ProblemNote problem={room.problem.value} />
      {user.state === 'active' && <FilesView room={room} phase={machine.phase} />}
    </>
  );
}

interface MachineButtonsProps {
  readonly room: Room;
  readonly user: UserDetails;
  readonly phase: Machine['phase'];
}

function MachineButtons({ room, user, phase }: MachineButtonsProps) {
  const isGone = user.state !== 'active';
  const lane = laneHref(user.laneUrl);
  return (
    <div class="buttons">
      <AskButton label="Sleep" isOff={isGone || phase !== 'ready'} onAsk={() => room.askMachine('sleep')} />
      <AskButton
        label="Wake"
        isOff={isGone || phase === 'ready' || phase === 'waking'}
        onAsk={() => room.askMachine('wake')}
      />
      <KeyboardButton room={room} isOff={isGone} />
      {lane !== undefined && (
        <a href={lane} target="_blank" rel="noopener noreferrer">
          Lane in the Temporal UI
        </a>
      )}
    </div>
  );
}

/** One button for both, so that the focus stays where it was. */
function KeyboardButton({ room: { keyboard }, isOff }: { readonly room: Room; readonly isOff: boolean }) {
  const isFree = keyboard.state.value === 'free';
  return (
    <AskButton
      id="keyboard-button"
      label={isFree ? 'Take over' : 'Hand back'}
      isOff={isFree ? isOff : keyboard.state.value === 'leaving'}
      onAsk={isFree ? keyboard.take : keyboard.handBack}
    />
  );
}

/** Off, it can still be reached: what has the focus does not vanish from under it. */
function AskButton({
  id,
  label,
  isOff,
  onAsk,
}: {
  readonly id?: string;
  readonly label: string;
  readonly isOff: boolean;
  readonly onAsk: () => void;
}) {
  return (
    <button
      type="button"
      {...(id === undefined ? {} : { id })}
      aria-disabled={isOff}
      onClick={() => (isOff ? undefined : onAsk())}
    >
      {label}
    </button>
  );
}

function reasonOf({ machine: { awakeFor } }: UserDetails): string {
  if (awakeFor === 'turn') return 'a turn is open';
  if (awakeFor === 'lease') return 'somebody works on it';
  return awakeFor === 'idle_time' ? 'its idle time runs' : 'it is not awake';
}

/** The record tells about when; the lane decides. */
function showRest(ms: number): string {
  return ms < 1_000 ? 'a moment' : showDuration(ms);
}

/** Small sums are what a machine costs. */
function showCost(cost: number): string {
  return cost.toFixed(cost !== 0 && Math.abs(cost) < 0.1 ? 5 : 2);
}

/** Only what a browser would open as a page. */
function laneHref(url: string | null): string | undefined {
  return url !== null && /^https?:\/\//.test(url) ? url : undefined;
}
