/**
 * Clients of other people's protocols, unmodified: each turn of a user who stays is followed by one of them, which is broken off at
 * random, and comes back at another replica in its protocol's own way until it has heard the turn's end.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../plan/random.js';
import type { Rig } from '../rig.js';
import { within } from '../surely.js';
import { agUi } from './protocols/ag-ui.js';
import { aiSdk } from './protocols/ai-sdk.js';
import { openAiChat, openAiResponses } from './protocols/openai.js';
import { Refused, type FollowedTurn, type Heard, type Protocol } from './protocols/protocol.js';

const PROTOCOLS = [openAiChat, openAiResponses, aiSdk, agUi] as const;
/** A connection is broken off with this chance, after so many pieces at most, and no more often than so for a turn. */
const BREAK_CHANCE = 0.6;
const BREAK_AFTER_MAX = 12;
const BREAKS_MAX = 4;
const PAUSE_MS_MAX = 400;
/** From a turn's end to its last follower, every repeat included. */
const CATCH_UP_MS_MAX = 60_000;
/** From a broken connection until a client says so. */
const LEAVE_MS_MAX = 10_000;

export interface HeardTurn extends Heard, Pick<FollowedTurn, 'userId' | 'turnId'> {
  readonly protocol: string;
  readonly keepsVoid: boolean;
}

export interface ProjectionFollowers {
  readonly heard: readonly HeardTurn[];
  /** Refusals, streams that a client did not take, ends that were never told. */
  readonly faults: readonly string[];
  readonly connections: number;
  /** Follows a turn that was acknowledged. */
  follow(turn: FollowedTurn): void;
  /** Waits until all have heard the end; to be called when every turn has ended. */
  finish(): Promise<void>;
}

export function startProjectionFollowers(rig: Rig, random: Random): ProjectionFollowers {
  const heard: HeardTurn[] = [];
  const faults: string[] = [];
  /** Turns that are being followed, and by which protocol. */
  const open = new Map<string, string>();
  const over = new AbortController();
  let connections = 0;

  async function hear(protocol: Protocol, turn: FollowedTurn, chance: Random): Promise<Heard | undefined> {
    // One that is lost is another check's: to say it again here would mend it.
    const isKnown = await rig.sql('select from turns where user_id = $1 and turn_id = $2', [turn.userId, turn.turnId]);
    if (isKnown.length === 0) return undefined;
    const followOnce = protocol.open(turn);
    const { urls, key } = rig.gateways;
    const first = chance.whole(0, urls.length - 1);
    for (let attempt = 0; !over.signal.aborted; attempt += 1) {
      connections += 1;
      const own = new AbortController();
      let left = attempt < BREAKS_MAX && chance.chance(BREAK_CHANCE) ? chance.whole(1, BREAK_AFTER_MAX) : Infinity;
      const onPiece = (): void => {
        left -= 1;
        if (left <= 0) own.abort();
      };
      const signal = AbortSignal.any([own.signal, over.signal]);
      const url = urls[(first + attempt) % urls.length] ?? '';
      try {
        const end = await followOnce({ url, key, signal, onPiece });
        if (end !== undefined) return end;
      } catch (error) {
        if (error instanceof Refused) throw error;
        // Broken: on to the next.
      }
      await delay(chance.whole(0, PAUSE_MS_MAX));
    }
    throw new Error(`the end was not heard within ${CATCH_UP_MS_MAX / 1_000} s`);
  }

  return {
    heard,
    faults,
    get connections() {
      return connections;
    },
    follow(turn) {
      const { userId, turnId } = turn;
      const chance = random.branch(turnId);
      const protocol = chance.pick(PROTOCOLS);
      const { name, keepsVoid } = protocol;
      open.set(turnId, name);
      void hear(protocol, turn, chance)
        .then((end) => {
          if (end !== undefined) heard.push({ userId, turnId, protocol: name, keepsVoid, ...end });
        })
        .catch((error: unknown) => void faults.push(`${turnId} by ${name}: ${String(error)}`))
        .finally(() => open.delete(turnId));
    },
    async finish() {
      const isHeard = (): Promise<boolean> => Promise.resolve(open.size === 0);
      if (await within(CATCH_UP_MS_MAX, isHeard)) return;
      over.abort();
      await within(LEAVE_MS_MAX, isHeard);
      for (const [turnId, name] of open) faults.push(`${turnId} by ${name}: its client does not end`);
    },
  };
}
