/** Bounds that only make sense together: each relation that a change of one of them could break. */
import { describe, expect, it } from 'vitest';
import * as limits from '../../../src/contracts/limits.js';

describe('limits', () => {
  it('are positive whole numbers with their unit in the name', () => {
    for (const [name, value] of Object.entries(limits)) {
      expect(Number.isSafeInteger(value) && value > 0, name).toBe(true);
      expect(name).toMatch(/(MS|BYTES|MAX|EVENTS|GIB|MIB|VCPU|COLUMNS|ROWS)(_|$)/);
    }
  });

  it('let a prompt in a signal be a prompt', () => {
    expect(limits.SIGNAL_PROMPT_BYTES_MAX).toBeLessThanOrEqual(limits.PROMPT_BYTES_MAX);
    expect(limits.HELD_PROMPTS_MAX).toBeLessThanOrEqual(limits.OPEN_TURNS_MAX_DEFAULT);
  });

  it('keep what a lane holds of signals far below the size of one workflow task', () => {
    expect(limits.HELD_PROMPTS_MAX * limits.SIGNAL_PROMPT_BYTES_MAX).toBeLessThan(1024 * 1024);
  });

  it('roll a lane over before the server asks for it', () => {
    expect(limits.HISTORY_EVENTS_MAX).toBeLessThan(4_096);
  });

  it('end a command before its turn, and notice a dead worker before both', () => {
    expect(limits.COMMAND_TIMEOUT_MS_DEFAULT).toBeLessThanOrEqual(limits.COMMAND_TIMEOUT_MS_MAX);
    expect(limits.COMMAND_TIMEOUT_MS_MAX).toBeLessThanOrEqual(limits.TURN_WALL_MS_DEFAULT);
    expect(limits.HEARTBEAT_INTERVAL_MS * 2).toBeLessThan(limits.HEARTBEAT_TIMEOUT_MS);
    expect(limits.HEARTBEAT_TIMEOUT_MS).toBeLessThan(limits.COMMAND_TIMEOUT_MS_DEFAULT);
  });

  it('let a result be waited for longer than a turn can take', () => {
    expect(limits.TURN_RESULT_WAIT_MS_DEFAULT).toBeGreaterThan(limits.TURN_WALL_MS_DEFAULT);
  });

  it('let a conversation with its commands be sent whole, and a live end of output be a part of what is shown', () => {
    expect(limits.CONVERSATION_BODY_BYTES_MAX).toBeGreaterThan(100 * limits.MODEL_OUTPUT_BYTES_MAX);
    expect(limits.CONVERSATION_BODY_BYTES_MAX).toBeGreaterThan(limits.REQUEST_BODY_BYTES_MAX);
    expect(limits.OUTPUT_TAIL_CHARACTERS_MAX).toBeLessThan(limits.MODEL_OUTPUT_BYTES_MAX);
  });

  it('show the model no more than is kept', () => {
    const kept = limits.COMMAND_OUTPUT_HEAD_BYTES + limits.COMMAND_OUTPUT_TAIL_BYTES;
    expect(limits.MODEL_OUTPUT_BYTES_MAX).toBeLessThanOrEqual(kept);
    expect(limits.MODEL_OUTPUT_BYTES_MAX).toBeLessThan(limits.MODEL_CONTEXT_BYTES_MAX_DEFAULT);
  });

  it('leave an unknown machine alone for longer than a create is tried', () => {
    expect(limits.RECONCILE_GRACE_MS_DEFAULT).toBeGreaterThan(limits.MACHINE_CREATE_TIMEOUT_MS_DEFAULT);
    // Until then a signal may simply be on its way.
    expect(limits.RECONCILE_QUIET_MS_DEFAULT).toBeGreaterThan(limits.SIGNAL_TIMEOUT_MS);
    expect(limits.RECONCILE_INTERVAL_MS_DEFAULT).toBeGreaterThan(limits.RECONCILE_INTERVAL_MS_MIN);
  });

  it('hold a client for its answer no longer than it waits, and let its retry find the turn after that', () => {
    // Node's own fetch, in ms.
    expect(limits.ANSWER_HOLD_MS_MAX).toBeLessThan(300_000);
    expect(limits.CANCEL_HOLD_MS_MAX).toBeLessThan(limits.ANSWER_HOLD_MS_MAX);
    expect(limits.RETRY_JOINS_MS_MAX).toBeGreaterThan(limits.ANSWER_HOLD_MS_MAX);
  });

  it('renew a lease several times before it ends, and touch a machine before its provider finds it quiet', () => {
    expect(limits.LEASE_RENEW_MS * 3).toBeLessThan(limits.LEASE_MS);
    expect(limits.LEASE_TOUCH_MS + limits.LEASE_RENEW_MS).toBeLessThan(300_000);
  });

  it('let a file cross: within an execution, within its time, and without being taken for one that nobody finished', () => {
    expect(limits.FILE_PIECE_BYTES % 3, 'base64 without padding').toBe(0);
    expect(limits.FILE_PIECE_BYTES_MIN).toBeLessThanOrEqual(limits.FILE_PIECE_BYTES);
    expect((limits.FILE_PIECE_BYTES * 4) / 3).toBeLessThan(1024 * 1024);
    expect(limits.FILE_EXECUTION_MS_MAX).toBeLessThan(limits.FILE_TRANSFER_MS_MAX);
    // files.sh sweeps what is older than an hour.
    expect(limits.FILE_TRANSFER_MS_MAX).toBeLessThan(3_600_000);
    expect(limits.FILE_NAME_BYTES_MAX).toBeLessThan(limits.FILE_PATH_BYTES_MAX);
    expect(limits.FILE_REQUESTS_OF_USER_MAX).toBeLessThan(limits.FILE_REQUESTS_MAX);
  });

  it('hold idle time within its bounds', () => {
    expect(limits.IDLE_MS_DEFAULT).toBeGreaterThanOrEqual(limits.IDLE_MS_MIN);
    expect(limits.IDLE_MS_DEFAULT).toBeLessThanOrEqual(limits.IDLE_MS_MAX);
  });
});
