/** Messages that wait, in their order, each of which can be taken back: behind the running turn, or for the lane to begin with them. */
import type { Room } from '../room/room.js';
import type { Talk, WaitingTurn } from '../talk/talk.js';

const SHOWN_CHARACTERS = 60;

interface WaitingProps {
  readonly room: Room;
  readonly turns: readonly WaitingTurn[];
}

/** What waits behind something, and what is next where nothing runs. */
export function splitWaiting({ waiting }: Talk, isRunning: boolean): { next?: WaitingTurn; behind: WaitingTurn[] } {
  const [next, ...behind] = waiting;
  return isRunning || next === undefined ? { behind: [...waiting] } : { next, behind };
}

export function Waiting({ room, turns }: WaitingProps) {
  if (turns.length === 0) return null;
  return (
    <section class="waiting" aria-label="Waiting messages">
      <h2>Waiting</h2>
      <ol>
        {turns.map((turn) => (
          <li key={turn.turnId}>
            <span class="waiting-text" dir="auto">
              {turn.prompt ?? '…'}
            </span>
            <RemoveButton room={room} turn={turn} />
          </li>
        ))}
      </ol>
    </section>
  );
}

/** Stands where its turn will. */
export function NextTurn({ room, turn }: { readonly room: Room; readonly turn: WaitingTurn }) {
  return (
    <article class="turn" aria-label="Turn">
      <div class="prompt">
        <p class="said" dir="auto">
          {turn.prompt ?? '…'}
        </p>
      </div>
      <p class="busy">
        Begins … <RemoveButton room={room} turn={turn} />
      </p>
    </article>
  );
}

function RemoveButton({ room, turn: { turnId, prompt } }: { readonly room: Room; readonly turn: WaitingTurn }) {
  function onClick(): void {
    void room.remove(turnId);
    // The button goes with its message.
    document.getElementById('message')?.focus();
  }
  return (
    <button type="button" onClick={onClick} aria-label={`Remove ${(prompt ?? '').slice(0, SHOWN_CHARACTERS)}`}>
      Remove
    </button>
  );
}
