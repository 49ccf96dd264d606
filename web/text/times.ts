/** Times as people read them; ms in, words out. */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How long something took: `420 ms`, `2.4 s`, `12 s`, `3:07 min`, `2:05 h`. */
export function showDuration(ms: number): string {
  const whole = Math.max(0, ms);
  if (whole < SECOND) return `${Math.floor(whole)} ms`;
  if (whole < 10 * SECOND) return `${(Math.floor(whole / 100) / 10).toFixed(1)} s`;
  if (whole < MINUTE) return `${Math.floor(whole / SECOND)} s`;
  if (whole < HOUR) return `${clock(whole / MINUTE, (whole % MINUTE) / SECOND)} min`;
  return `${clock(whole / HOUR, (whole % HOUR) / MINUTE)} h`;
}

/** How long ago: `now`, `4 min`, `2 h`, `12 d`. */
export function showAge(ms: number): string {
  if (ms < MINUTE) return 'now';
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)} h`;
  return `${Math.floor(ms / DAY)} d`;
}

function clock(large: number, small: number): string {
  return `${Math.floor(large)}:${String(Math.floor(small)).padStart(2, '0')}`;
}
