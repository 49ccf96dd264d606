/** Answers of bytes: their type, and the one range of them that was asked for. */
import rangeParser from 'range-parser';
import { z } from 'zod';
import { InnkeeperError } from '../contracts/errors.js';

export const BYTES_TYPE = 'application/octet-stream';

/** Of a route, as the document has it. */
export const bytesOf = (description: string) => ({ description, content: { [BYTES_TYPE]: { schema: z.any() } } });

/** undefined: the whole; also for several ranges and for what is no range, as RFC 9110 allows. @throws InnkeeperError RANGE_NOT_SATISFIABLE */
export function rangeOf(size: number, header: string | undefined): { start: number; end: number } | undefined {
  if (header === undefined) return undefined;
  const ranges = rangeParser(size, header);
  if (ranges === -1) throw new InnkeeperError('RANGE_NOT_SATISFIABLE', `There are ${size} bytes here.`);
  return ranges === -2 || ranges.type !== 'bytes' || ranges.length !== 1 ? undefined : ranges[0];
}
