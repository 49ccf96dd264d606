/** Says aloud, politely, what the room announces. Not to be seen. */
import type { Announcements } from '../room/announcements.js';

export function Announcer({ announcements }: { readonly announcements: Announcements }) {
  return (
    <div class="unseen" role="log" aria-live="polite" aria-label="What happens">
      {announcements.latest.value.map(({ id, text }) => (
        <p key={id}>{text}</p>
      ))}
    </div>
  );
}
