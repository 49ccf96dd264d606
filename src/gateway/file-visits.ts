/**
 * A request that works on a machine's files: its place among others, the lease that keeps the machine awake for it, and an end to it all.
 * Nothing here wakes a machine: who wants that says so, and then the lane does it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';
import { InnkeeperError } from '../contracts/errors.js';
import {
  FILE_REQUESTS_MAX,
  FILE_REQUESTS_OF_USER_MAX,
  FILE_TRANSFER_MS_MAX,
  FILE_WAKE_LOOK_MS,
  FILE_WAKE_MS_MAX,
} from '../contracts/limits.js';
import type { FilesOf } from '../guest/files.js';
import type { HeldMachine } from './machine-leases.js';
import type { RouteParts } from './parts.js';
import { createPlaces } from './places.js';

export interface VisitOptions {
  readonly userId: string;
  /** Who asks, as others are told. */
  readonly holder: string;
  /** Has the machine woken where it is asleep, and waits for that. */
  readonly wakes: boolean;
  /** The work is over where its connection is. */
  readonly reply: FastifyReply;
}

export interface FileVisits {
  /** @throws InnkeeperError FILE_REQUESTS_EXCEEDED, what holding a machine throws, and what `work` does */
  visit<T>(options: VisitOptions, work: (of: FilesOf) => Promise<T>): Promise<T>;
  /** Until every machine is given back. */
  settle(): Promise<void>;
}

const FULL = ['FILE_REQUESTS_EXCEEDED', 'There are too many requests about files under way.'] as const;

export function createFileVisits({ client, leases, closing }: RouteParts): FileVisits {
  const places = createPlaces({ max: FILE_REQUESTS_MAX, ofUserMax: FILE_REQUESTS_OF_USER_MAX, full: FULL });
  const givenBack = new Set<Promise<void>>();

  async function hold({ userId, holder, wakes }: VisitOptions, over: AbortSignal): Promise<HeldMachine> {
    const signal = AbortSignal.any([over, closing]);
    const giveUpAt = performance.now() + FILE_WAKE_MS_MAX;
    for (let looks = 0; ; looks += 1) {
      try {
        return await leases.hold({ userId, holder, kind: 'files' });
      } catch (error) {
        const isAsleep = InnkeeperError.is(error) && error.code === 'MACHINE_ASLEEP';
        if (!isAsleep || !wakes || performance.now() > giveUpAt) throw error;
        if (looks === 0) await client.wakeNow({ userId });
        await delay(FILE_WAKE_LOOK_MS, undefined, { signal }).catch(() => {
          over.throwIfAborted();
          throw error;
        });
      }
    }
  }

  async function visit<T>(options: VisitOptions, work: (of: FilesOf) => Promise<T>): Promise<T> {
    const leave = places.take(options.userId);
    const over = new AbortController();
    const end = (reason: Error): void => over.abort(reason);
    options.reply.raw.once('close', () => end(ended('The client is gone.')));
    const timer = setTimeout(() => end(ended('It took too long.')), FILE_TRANSFER_MS_MAX);
    try {
      const held = await hold(options, over.signal);
      try {
        return await work({
          machines: {
            async execute(...asked) {
              held.assertAlive();
              return held.machines.execute(...asked);
            },
          },
          machineId: held.machineId,
          signal: AbortSignal.any([over.signal, held.lost]),
        });
      } finally {
        // No answer waits for the lane to hear of it.
        const release = held.release();
        givenBack.add(release);
        void release.finally(() => givenBack.delete(release));
      }
    } finally {
      clearTimeout(timer);
      leave();
    }
  }

  return { visit, settle: async () => void (await Promise.all(givenBack)) };
}

export function ended(message: string): InnkeeperError {
  return new InnkeeperError('TRANSFER_ENDED', message);
}
