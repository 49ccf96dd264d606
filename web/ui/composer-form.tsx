/** The box to write in, and the button that stops the running turn. */
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Room } from '../room/room.js';
import { isSend } from '../text/keys.js';
import { ProblemNote } from './problem-note.js';

const TOUCH = matchMedia('(pointer: coarse)');
const HEIGHT_PX_MAX = 220;

export function ComposerForm({ room }: { readonly room: Room }) {
  const { composer } = room;
  const text = composer.text.value;
  const box = useRef<HTMLTextAreaElement>(null);
  // As high as its text.
  useLayoutEffect(() => {
    const { current } = box;
    if (current === null) return;
    current.style.height = 'auto';
    current.style.height = `${Math.min(HEIGHT_PX_MAX, current.scrollHeight + 2)}px`;
  }, [text]);

  function send(): void {
    void composer.send();
    box.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent): void {
    if (!isSend(event, { isTouch: TOUCH.matches })) return;
    event.preventDefault();
    send();
  }

  return (
    <form
      class="composer"
      aria-label="New message"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <ProblemNote problem={composer.problem.value} />
      {composer.later.value !== '' && <p class="hint">What you wrote since comes back when this is sent.</p>}
      <label for="message">Message</label>
      <textarea
        id="message"
        ref={box}
        rows={1}
        dir="auto"
        value={text}
        onInput={({ currentTarget }) => composer.write(currentTarget.value)}
        onKeyDown={onKeyDown}
        aria-describedby="message-help"
      />
      <div class="buttons">
        <span id="message-help" class="hint">
          {TOUCH.matches ? '' : 'Enter sends, Shift+Enter makes a new line.'}
        </span>
        <StopButton room={room} onStopped={() => box.current?.focus()} />
        <button type="submit" class="main">
          {composer.isSending.value ? 'Sending …' : 'Send'}
        </button>
      </div>
    </form>
  );
}

function StopButton({ room, onStopped }: { readonly room: Room; readonly onStopped: () => void }) {
  const running = room.runningTurnId.value;
  if (running === undefined) return null;
  const isStopping = room.stoppingTurnId.value === running;
  return (
    <button
      type="button"
      class="stop"
      aria-disabled={isStopping}
      onClick={() => {
        if (isStopping) return;
        room.stop();
        // It goes with the turn.
        onStopped();
      }}
    >
      {isStopping ? 'Stopping …' : 'Stop'}
    </button>
  );
}
