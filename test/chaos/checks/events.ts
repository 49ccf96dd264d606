/** P10: who reads the event log, breaks off and resumes meets no gap, nothing twice, and the same log in the end. */
import { readEvents } from '../load/event-reader.js';
import type { Rig } from '../rig.js';
import type { Check } from './check.js';
import type { Evidence } from './evidence.js';

export async function checkEvents({ readers }: Evidence, rig: Rig): Promise<Check> {
  const violations = readers.flatMap((reader) => reader.faults);
  let looked = 0;
  for (const { userId, seen, resumes } of readers) {
    looked += resumes;
    const log = await readEvents(rig, userId, 0, Number.MAX_SAFE_INTEGER);
    if (log.length !== seen.length)
      violations.push(`${userId}: ${seen.length} of ${log.length} events were handed over`);
    log.forEach((event, index) => {
      if (event.seq !== index + 1) violations.push(`${userId}: the log has ${event.seq} in place ${index + 1}`);
      if (seen[index] !== undefined && seen[index].hash !== event.hash) {
        violations.push(`${userId}: event ${event.seq} is not the one that was handed over`);
      }
    });
  }
  return { name: 'P10', promise: 'a reader that resumes meets no gap and no double', looked, violations };
}
