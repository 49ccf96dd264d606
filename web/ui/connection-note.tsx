/** Says when the page is not up to date, and that it is at it. */
import { now } from '../clock.js';
import type { Feed } from '../room/feed.js';

export function ConnectionNote({ feed }: { readonly feed: Feed }) {
  const connection = feed.connection.value;
  const isBroken = connection.state === 'broken';
  return (
    <div class="connection" role="status" data-state={connection.state}>
      {isBroken && (
        <>
          <span>The connection is lost. {connection.problem.message} It is tried again by itself</span>
          <Countdown untilMs={connection.untilMs} />{' '}
          <button type="button" onClick={feed.hurry}>
            Try now
          </button>
        </>
      )}
    </div>
  );
}

/** Not read aloud each second. */
function Countdown({ untilMs }: { readonly untilMs: number }) {
  const seconds = Math.max(0, Math.ceil((untilMs - now.value) / 1_000));
  return <span aria-hidden="true"> in {seconds} s.</span>;
}
