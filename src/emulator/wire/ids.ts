/** Identifiers as the vendor forms them. Machine ids of all generations are looked up without their prefix. */
import { createHash, randomBytes } from 'node:crypto';
import { v7 as uuidV7 } from 'uuid';

export function newMachineId(isBare: boolean): string {
  return isBare ? uuidV7() : `dm-${uuidV7()}`;
}

export function newExecutionId(): string {
  return `wexec-${randomBytes(20).toString('hex')}`;
}

export function newId(prefix: string): string {
  return `${prefix}-${uuidV7()}`;
}

export function newStorageOperationId(): string {
  return `sop-${randomBytes(8).toString('hex')}`;
}

/** Eight hex digits, as in the vendor's key-reuse details. */
export function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
