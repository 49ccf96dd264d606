/** What an operator sees of the lane: search attributes and the current details. Written only on change. */
import { defineSearchAttributeKey, type SearchAttributeUpdatePair } from '@temporalio/common';
import { setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import type { LaneState } from '../contracts/lane-state.js';
import { SEARCH_ATTRIBUTES } from '../contracts/search-attributes.js';

const PHASE = defineSearchAttributeKey(SEARCH_ATTRIBUTES.phase.name, 'KEYWORD');
const MACHINE = defineSearchAttributeKey(SEARCH_ATTRIBUTES.machineId.name, 'KEYWORD');
const TURNS = defineSearchAttributeKey(SEARCH_ATTRIBUTES.turnCount.name, 'INT');
const LAST_TURN = defineSearchAttributeKey(SEARCH_ATTRIBUTES.lastTurnAt.name, 'DATETIME');
const LAST_ERROR = defineSearchAttributeKey(SEARCH_ATTRIBUTES.lastErrorCode.name, 'KEYWORD');

export interface Board {
  /** Writes the attributes that differ from those written last (each write is an event), and the details (which are none). */
  publish(state: LaneState): void;
  /** Writes the details only. */
  show(state: LaneState): void;
}

type Published = Pick<LaneState, 'phase' | 'machineId' | 'turnCount' | 'lastTurnAt' | 'lastErrorCode'>;

/** `published`: what the run before this one has written; attributes outlive continue-as-new. */
export function createBoard(published: Published | undefined): Board {
  let last = published;

  function show(state: LaneState): void {
    setCurrentDetails(detailsOf(state));
  }

  return {
    publish(state) {
      const pairs: SearchAttributeUpdatePair[] = [];
      if (state.phase !== last?.phase) pairs.push({ key: PHASE, value: state.phase });
      if (state.machineId !== (last?.machineId ?? null)) pairs.push({ key: MACHINE, value: state.machineId });
      if (state.turnCount !== (last?.turnCount ?? 0)) pairs.push({ key: TURNS, value: state.turnCount });
      if (state.lastTurnAt !== (last?.lastTurnAt ?? null)) {
        pairs.push({ key: LAST_TURN, value: state.lastTurnAt === null ? null : new Date(state.lastTurnAt) });
      }
      if (state.lastErrorCode !== (last?.lastErrorCode ?? null)) {
        pairs.push({ key: LAST_ERROR, value: state.lastErrorCode });
      }
      // An empty upsert fails every workflow task from then on (measured, SDK 1.24).
      if (pairs.length > 0) upsertSearchAttributes(pairs);
      last = state;
      show(state);
    },
    show,
  };
}

/** A short Markdown table. Ids and counts only. */
function detailsOf(state: LaneState): string {
  const rows: [string, string][] = [
    ['phase', state.phase],
    ['machine', state.machineId === null ? 'none' : `${state.machineId} (generation ${state.generation})`],
    ['turn', state.turn === null ? 'none' : `${state.turn.position}, step ${state.turn.step}`],
    ['turns so far', String(state.turnCount)],
    ['last turn at', state.lastTurnAt ?? 'never'],
    ['sleeps at', state.idleDueAt ?? 'not due'],
    ['last error', state.lastErrorCode ?? 'none'],
    ['help', 'docs/operations.md'],
  ];
  return ['| what | now |', '| --- | --- |', ...rows.map(([what, now]) => `| ${what} | ${now} |`)].join('\n');
}
