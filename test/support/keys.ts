/** Idempotency keys for tests, in the form that every generation of the API takes: a compact UUIDv7. */
import { v7 } from 'uuid';

export function uuidv7(): string {
  return v7().replaceAll('-', '');
}
