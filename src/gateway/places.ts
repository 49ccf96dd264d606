/** How many of a kind this process has at a time, of all users and of each. */
import { InnkeeperError, type ErrorCode } from '../contracts/errors.js';

export interface Places {
  /** Answers what gives the place back. @throws InnkeeperError as `full` says */
  take(userId: string): () => void;
}

export interface PlacesOptions {
  readonly max: number;
  readonly ofUserMax: number;
  readonly full: readonly [ErrorCode, string];
}

export function createPlaces({ max, ofUserMax, full }: PlacesOptions): Places {
  const ofUsers = new Map<string, number>();
  let all = 0;
  return {
    take(userId) {
      const own = ofUsers.get(userId) ?? 0;
      if (own >= ofUserMax || all >= max) throw new InnkeeperError(...full);
      ofUsers.set(userId, own + 1);
      all += 1;
      return () => {
        all -= 1;
        const left = (ofUsers.get(userId) ?? 1) - 1;
        if (left === 0) ofUsers.delete(userId);
        else ofUsers.set(userId, left);
      };
    },
  };
}
