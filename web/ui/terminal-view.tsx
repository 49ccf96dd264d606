/** The agent's terminal: only to look at. The region around it takes the focus and scrolls by keys; the cards hold the same as text. */
import { useEffect, useRef } from 'preact/hooks';
import type { Room } from '../room/room.js';
import { createTerminalScript, type TerminalScript } from '../terminal/script.js';
import { openScreen, type Screen } from '../terminal/screen.js';

export function TerminalView({ room }: { readonly room: Room }) {
  const host = useRef<HTMLDivElement>(null);
  const screen = useRef<Screen | null>(null);
  const script = useRef<TerminalScript | null>(null);
  const entries = room.feed.talk.value?.entries;
  const outputs = room.outputs.kept.value;

  useEffect(() => {
    if (host.current === null) return undefined;
    const opened = openScreen(host.current);
    screen.current = opened;
    script.current = createTerminalScript();
    return () => {
      screen.current = null;
      opened.close();
    };
  }, []);
  useEffect(() => {
    if (entries === undefined || script.current === null) return;
    room.outputs.want(entries);
    screen.current?.show(script.current.toPieces(entries, outputs));
  }, [entries, outputs]);

  return (
    <section class="terminal" aria-label="Terminal">
      <h3>Terminal of the agent</h3>
      <div
        class="terminal-box"
        tabIndex={0}
        role="group"
        aria-label="What the agent's commands printed. The chat holds the same as text."
        onKeyDown={(event) => {
          if (screen.current?.scrollBy(event.key) === true) event.preventDefault();
        }}
      >
        <div class="terminal-host" ref={host} />
      </div>
    </section>
  );
}
