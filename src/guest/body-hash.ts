/** Binds a command's id to its body: the same id with another body is a conflict, never another run. */
import { createHash } from 'node:crypto';
import type { GuestCommand } from './guest.js';

/** SHA-256 (hex) of what the command does and under which limits. Equal bodies hash alike in every release. */
export function bodyHash(body: Omit<GuestCommand, 'cmdId' | 'bodyHash'>): string {
  const canonical = JSON.stringify([
    1,
    body.script,
    body.historyLine ?? null,
    body.timeoutMs,
    body.outputHeadBytes,
    body.outputTailBytes,
  ]);
  return createHash('sha256').update(canonical).digest('hex');
}
