/**
 * Payload converter of the worker. The default one throws at what it cannot decode, and arguments are decoded before any handler
 * runs, so one bad signal would fail every workflow task of the lane from then on. This one leaves a marker in its place,
 * which the parse functions of contracts/messages.ts turn into a recorded rejection.
 */
import type { Payload, PayloadConverter } from '@temporalio/common';
import { defaultPayloadConverter } from '@temporalio/common';
import type { Undecodable } from '../contracts/messages.js';

const converter = defaultPayloadConverter;

export const payloadConverter: PayloadConverter = {
  toPayload<T>(value: T): Payload {
    return converter.toPayload(value);
  },
  fromPayload<T>(payload: Payload): T {
    try {
      return converter.fromPayload<T>(payload);
    } catch (error) {
      const marker: Undecodable = { innkeeperUndecodable: error instanceof Error ? error.name : 'Error' };
      return marker as T;
    }
  },
};
