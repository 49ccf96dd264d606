import { v7 as uuidv7 } from 'uuid';

/** Compact UUIDv7, the form of idempotency key that every generation of the provider's API takes. */
export function newIdempotencyKey(): string {
  return uuidv7().replaceAll('-', '');
}
