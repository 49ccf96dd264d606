/** Messages that wait for the running turn, in their order, each of which can be taken back. */
import type { Room } from '../room/room.js';
import type { WaitingTurn } from '../talk/talk.js';

const SHOWN_CHARACTERS = 60;

export function Waiting({ room, turns }: { readonly room: Room; readonly turns: readonly WaitingTurn[] }) {
  if (turns.length === 0) return null;

  function remove(turnId: string): void {
    void room.remove(turnId);
    // The button goes with its message.
    document.getElementById('message')?.focus();
  }

  return (
    <section class="waiting" aria-label="Waiting messages">
      <h2>Waiting</h2>
      <ol>
        {turns.map(({ turnId, prompt }) => (
          <li key={turnId}>
            <span class="waiting-text" dir="auto">
              {prompt ?? '…'}
            </span>
            <button
              type="button"
              onClick={() => remove(turnId)}
              aria-label={`Remove ${(prompt ?? '').slice(0, SHOWN_CHARACTERS)}`}
            >
              Remove
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}
