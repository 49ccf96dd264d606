/** A tool call as a card that folds: the command, its output as it comes, how it ended and how long it took. */
import { useSignal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { now } from '../clock.js';
import { joinLive, type TalkCall } from '../talk/talk.js';
import { plainText, tailOf } from '../text/plain.js';
import { showDuration } from '../text/times.js';
import { pure } from './pure.js';

/** Of output that is still coming the end is shown. */
const LIVE_CHARACTERS_MAX = 16_000;

interface CallCardProps {
  readonly call: TalkCall;
  readonly isTurnOver: boolean;
}

export const CallCard = pure<CallCardProps>(
  (one, other) => one.call === other.call && one.isTurnOver === other.isTurnOver,
  (props) => <Card {...props} />,
);

function Card({ call, isTurnOver }: CallCardProps) {
  const isOpenCall = call.outcome === null && !isTurnOver;
  // What is watched stays open; what was over when the page came is folded.
  const isOpen = useSignal(call.isWatched && (isOpenCall || call.outcome !== null));
  const title = plainText(call.title);
  const output = outputOf(call);
  return (
    <details
      class="call"
      data-end={endOf(call, isTurnOver)}
      open={isOpen.value}
      onToggle={({ currentTarget }) => (isOpen.value = currentTarget.open)}
    >
      <summary>
        <span class="command">
          {call.tool === 'bash' ? <span class="dollar">$ </span> : <span class="tool">{plainText(call.tool)} </span>}
          {title}
        </span>
        <span class="outcome">{outcomeWords(call, isTurnOver)}</span>
        <Took call={call} isRunning={isOpenCall} />
      </summary>
      {output === '' ? (
        <p class="hint">{isOpenCall ? 'No output yet.' : 'No output.'}</p>
      ) : (
        <Output text={output} label={`Output of ${title}`} />
      )}
    </details>
  );
}

function Output({ text, label }: { readonly text: string; readonly label: string }) {
  const box = useRef<HTMLPreElement>(null);
  const follows = useRef(true);
  useLayoutEffect(() => {
    if (follows.current && box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  }, [text]);
  return (
    <pre
      class="output"
      ref={box}
      tabIndex={0}
      role="group"
      aria-label={label}
      onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) =>
        (follows.current = scrollHeight - scrollTop - clientHeight < 20)
      }
    >
      {text}
    </pre>
  );
}

function outputOf({ outcome, output, live }: TalkCall): string {
  if (outcome !== null) return plainText(output).trimEnd();
  return plainText(tailOf(joinLive(live), LIVE_CHARACTERS_MAX)).trimEnd();
}

function Took({ call: { startedAt, endedAt }, isRunning }: { readonly call: TalkCall; readonly isRunning: boolean }) {
  if (startedAt === null || (endedAt === null && !isRunning)) return null;
  const ms = (endedAt === null ? now.value : Date.parse(endedAt)) - Date.parse(startedAt);
  // The clock of what runs counts whole seconds.
  return isRunning && ms < 1_000 ? null : <span class="took">{showDuration(ms)}</span>;
}

function endOf({ outcome, exitCode, startedAt }: TalkCall, isTurnOver: boolean): 'good' | 'bad' | 'other' | 'running' {
  if (outcome === null) return isTurnOver || startedAt === null ? 'other' : 'running';
  if (outcome === 'exited') return exitCode === 0 ? 'good' : 'bad';
  return outcome === 'timed_out' || outcome === 'invalid' || outcome === 'unknown' ? 'bad' : 'other';
}

function outcomeWords({ outcome, exitCode, startedAt }: TalkCall, isTurnOver: boolean): string {
  if (outcome === null) {
    if (isTurnOver) return 'not run';
    return startedAt === null ? 'waits' : 'runs';
  }
  return outcome === 'exited' ? `exit code ${exitCode ?? 'unknown'}` : outcome.replaceAll('_', ' ');
}
