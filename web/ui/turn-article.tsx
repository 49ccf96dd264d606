/** One turn: the message, the answers with their commands, and how it ended. */
import type { TurnBlock } from '../talk/blocks.js';
import { isSame } from '../talk/blocks.js';
import { joinLive, type LiveAnswer, type TalkEntry, type TurnStatus } from '../talk/talk.js';
import { partialArgument } from '../text/partial-argument.js';
import { plainText, tailOf } from '../text/plain.js';
import { CallCard } from './call-card.js';
import { ErrorCodeView } from './error-code-view.js';
import { Formatted } from './formatted.js';
import { pure } from './pure.js';
import { Time } from './time.js';

/** What is being written down may be a whole file. */
const DRAFT_CHARACTERS_MAX = 600;

interface TurnArticleProps {
  readonly block: TurnBlock;
}

export const TurnArticle = pure<TurnArticleProps>(
  (one, other) => isSame(one.block, other.block),
  ({ block: { entries, status, answer } }) => (
    <article class="turn" data-state={status.state} aria-label="Turn">
      {entries.map((entry) => (
        <EntryView key={entry.key} entry={entry} isOver={status.state !== 'running'} />
      ))}
      {answer !== null && <LiveAnswerView answer={answer} />}
      <Ending status={status} isBusy={answer !== null || hasOpenCall(entries)} />
    </article>
  ),
);

function EntryView({ entry, isOver }: { readonly entry: TalkEntry; readonly isOver: boolean }) {
  if (entry.kind === 'note') return <Note entry={entry} />;
  if (entry.kind === 'user') {
    return (
      <div class="prompt">
        <h3 class="unseen">Message</h3>
        <Time at={entry.at} />
        <p class="said" dir="auto">
          {entry.text ?? '…'}
        </p>
      </div>
    );
  }
  // The end of a turn that was one call, given with it.
  if (entry.text?.trim() === '' && entry.calls.length === 0) return null;
  return (
    <div class="answer">
      <h3 class="unseen">Answer</h3>
      {entry.text !== null && entry.text.trim() !== '' && <Formatted text={entry.text} />}
      {entry.calls.map((call) => (
        <CallCard key={call.cmdId} call={call} isTurnOver={isOver} />
      ))}
    </div>
  );
}

export function Note({ entry }: { readonly entry: TalkEntry }) {
  return (
    <p class="note">
      <Time at={entry.at} /> {plainText(entry.text ?? '')}
    </p>
  );
}

function LiveAnswerView({ answer }: { readonly answer: LiveAnswer }) {
  const text = joinLive(answer.text);
  return (
    <div class="answer live">
      {text.trim() !== '' && <Formatted text={text} />}
      {answer.calls.map(({ index, tool, argumentsJson }) => (
        <p class="drafted" key={index}>
          <span class="tool">{plainText(tool)}</span>{' '}
          <code>{plainText(tailOf(partialArgument(argumentsJson), DRAFT_CHARACTERS_MAX)) || '…'}</code>
        </p>
      ))}
    </div>
  );
}

function hasOpenCall(entries: readonly TalkEntry[]): boolean {
  return entries.at(-1)?.calls.some(({ outcome }) => outcome === null) === true;
}

function Ending({ status: { state, code }, isBusy }: { readonly status: TurnStatus; readonly isBusy: boolean }) {
  if (state === 'running') return isBusy ? null : <p class="busy">Working …</p>;
  if (state === 'completed' || state === 'queued') return null;
  return (
    <p class="ending">
      {state === 'cancelled' ? 'Stopped.' : 'Failed.'}{' '}
      {code !== null && code !== 'CANCELLED' && <ErrorCodeView code={code} />}
    </p>
  );
}
