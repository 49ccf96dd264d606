/** Middle: what was said and done, what waits, and the box to write in. */
import { useSignal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Room } from '../room/room.js';
import { isTurn, toBlocks } from '../talk/blocks.js';
import type { Talk, WaitingTurn } from '../talk/talk.js';
import { ComposerForm } from './composer-form.js';
import { ConnectionNote } from './connection-note.js';
import { Note, TurnArticle } from './turn-article.js';
import { NextTurn, splitWaiting, Waiting } from './waiting.js';

/** So near to its end a reader follows what comes. */
const NEAR_PX = 60;

export function TalkPane({ room }: { readonly room: Room | null }) {
  if (room === null) {
    return (
      <main class="talk" aria-label="Chat">
        <p class="empty">Open a conversation on the left, or begin one under an id of your own.</p>
      </main>
    );
  }
  const { state, talk, problem } = room.feed;
  return (
    <main class="talk" aria-label={`Chat with ${room.userId}`}>
      <ConnectionNote feed={room.feed} />
      {state.value === 'loading' && <p class="empty">Reading the conversation …</p>}
      {state.value === 'failed' && (
        <p class="empty" role="alert">
          The conversation cannot be read. {problem.value?.message} {problem.value?.advice}
        </p>
      )}
      {state.value === 'new_user' && (
        <p class="empty">
          There is no user <b>{room.userId}</b> yet. The first message creates them and their machine.
        </p>
      )}
      {talk.value !== null && <Talked room={room} talk={talk.value} />}
      <ComposerForm room={room} />
    </main>
  );
}

interface TalkedProps {
  readonly room: Room;
  readonly talk: Talk;
}

function Talked({ room, talk }: TalkedProps) {
  const { next, behind } = splitWaiting(talk, room.runningTurnId.value !== undefined);
  return (
    <>
      <Conversation room={room} talk={talk} next={next} />
      <Waiting room={room} turns={behind} />
    </>
  );
}

function Conversation({ room, talk, next }: TalkedProps & { readonly next: WaitingTurn | undefined }) {
  const list = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const isAway = useSignal(false);
  const before = useRef({ height: 0, first: talk.entries[0]?.key });

  // Before it is painted: who reads the end stays there, who reads above it stays where they are.
  useLayoutEffect(() => {
    const box = list.current;
    if (box === null) return;
    const first = talk.entries[0]?.key;
    if (follows.current) box.scrollTop = box.scrollHeight;
    else if (first !== before.current.first) box.scrollTop += box.scrollHeight - before.current.height;
    before.current = { height: box.scrollHeight, first };
  }, [talk]);

  function onScroll({ currentTarget: box }: { currentTarget: HTMLDivElement }): void {
    follows.current = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
    isAway.value = !follows.current;
  }

  function toEnd(): void {
    const box = list.current;
    if (box !== null) box.scrollTop = box.scrollHeight;
  }

  return (
    <section class="conversation" aria-label="Conversation">
      <h2 class="unseen">Conversation</h2>
      {/* Can be scrolled by keys too. */}
      <div class="scroll" ref={list} onScroll={onScroll} tabIndex={0} role="group" aria-label="Turns, oldest first">
        {talk.earlier !== null && <EarlierButton room={room} />}
        {talk.entries.length === 0 && next === undefined && <p class="empty">Nothing was said yet.</p>}
        {toBlocks(talk).map((block) =>
          isTurn(block) ? (
            <TurnArticle key={block.entries[0]?.key} block={block} />
          ) : (
            <Note key={block.key} entry={block} />
          ),
        )}
        {next !== undefined && <NextTurn room={room} turn={next} />}
      </div>
      {isAway.value && (
        <button type="button" class="to-end" onClick={toEnd}>
          To the end
        </button>
      )}
    </section>
  );
}

function EarlierButton({ room }: { readonly room: Room }) {
  const state = useSignal<'idle' | 'reading' | 'failed'>('idle');

  function onClick(): void {
    if (state.value === 'reading') return;
    state.value = 'reading';
    room.feed.loadEarlier().then(
      () => (state.value = 'idle'),
      () => (state.value = 'failed'),
    );
  }

  const labels = { idle: 'Show earlier', reading: 'Reading …', failed: 'It could not be read. Try again' };
  return (
    <button type="button" class="earlier" onClick={onClick}>
      {labels[state.value]}
    </button>
  );
}
