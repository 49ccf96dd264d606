/** Lets the SDK log through our logger. */
import { DefaultLogger } from '@temporalio/worker';
import type { Logger } from '../log.js';

const LEVELS = { TRACE: 'debug', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

export function toRuntimeLogger(log: Logger): DefaultLogger {
  return new DefaultLogger('INFO', ({ level, message, meta }) => {
    log[LEVELS[level]]({ ...meta }, message);
  });
}
