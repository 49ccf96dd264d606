/** A person's shell in place of the agent's terminal, with who has the keyboard and what waits for it. */
import { useEffect, useRef } from 'preact/hooks';
import { now } from '../clock.js';
import type { Room } from '../room/room.js';
import { waitingCommand } from '../talk/waiting-command.js';
import { LEAVE_KEY, openLiveScreen } from '../terminal/live-screen.js';
import { plainText } from '../text/plain.js';
import { showDuration } from '../text/times.js';

export function KeyboardView({ room, leave }: { readonly room: Room; readonly leave: () => void }) {
  const { keyboard } = room;
  const host = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (host.current === null) return undefined;
    const screen = openLiveScreen(host.current, {
      onType: keyboard.type,
      onResize: keyboard.resize,
      onLeave: leave,
      onPasteRefused: keyboard.refusePaste,
    });
    const unlisten = keyboard.listen(screen.write);
    screen.focus();
    return () => {
      unlisten();
      screen.close();
    };
  }, []);

  return (
    <section class="terminal" aria-label="Your terminal">
      <h3>Your terminal</h3>
      <p class="hint" id="keyboard-hint">
        Every key goes to the machine; {LEAVE_KEY} leaves the terminal.
      </p>
      <div class="terminal-box" role="group" aria-label="Shell of the machine" aria-describedby="keyboard-hint">
        <div class="terminal-host" ref={host} />
      </div>
    </section>
  );
}

/** Who has the keyboard, this page or somebody else, and what the agent waits to run. Not said aloud: it counts seconds. */
export function KeyboardNote({ room }: { readonly room: Room }) {
  const words = noteOf(room);
  const waiting = waitingCommand(room.feed.talk.value);
  if (words === undefined) return null;
  return (
    <p class="keyboard-note">
      {words}
      {waiting === undefined ? null : (
        <>
          {' '}
          The agent waits to run <code>{plainText(waiting)}</code>.
        </>
      )}
    </p>
  );
}

function noteOf({ keyboard, user }: Room): string | undefined {
  const { value: until } = keyboard.until;
  switch (keyboard.state.value) {
    case 'opening':
      return 'The terminal is opened …';
    case 'waking':
      return 'The machine is woken …';
    case 'broken':
      return 'The connection broke, and is opened again …';
    case 'leaving':
      return 'It is handed back …';
    case 'held':
      return `You have the keyboard${until === null ? '' : `, for ${restOf(until)} at least`}.`;
    case 'free': {
      const terminal = user.value?.machine.terminal ?? null;
      return terminal === null
        ? undefined
        : `${terminal.holder} has the keyboard, for ${restOf(terminal.until)} at least.`;
    }
  }
}

function restOf(until: string): string {
  return showDuration(Math.max(1_000, Date.parse(until) - now.value));
}
