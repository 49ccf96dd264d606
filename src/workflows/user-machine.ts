/**
 * The entity: one lane per chat user, which owns the user's machine and the order of turns. State first, then handlers that
 * only note what arrived, then one loop that owns every effect, with one exit path.
 */
import { CancellationScope, condition, continueAsNew, isCancellation, setHandler } from '@temporalio/workflow';
import { getState } from '../contracts/messages.js';
import { createBell } from './bell.js';
import { carryOf, dataOf, parseCarry } from './carry.js';
import { createInbox, registerSignals } from './inbox.js';
import { newLaneData } from './lane-data.js';
import { createLane } from './lane.js';

export async function userMachine(carried?: unknown): Promise<void> {
  const carry = parseCarry(carried);
  const data = carry === undefined ? newLaneData(Date.now()) : dataOf(carry);
  const bell = createBell();
  // A run that was not carried over knows nothing: it looks into Postgres at once.
  const inbox = createInbox(carry ?? { mustLook: true, sleepRequested: false });
  const lane = createLane({ data, inbox, bell, isCarried: carry !== undefined });
  setHandler(getState, lane.state, {
    description: 'Phase, machine, running turn, counters, and when the machine will sleep.',
  });
  registerSignals(inbox, bell);

  try {
    for (;;) {
      const heard = bell.rings;
      const exit = await lane.look();
      // No await between the lane's check that nothing is outstanding and these two ways out.
      if (exit === 'done') return;
      // A run that was asked to end does not hand over to another: the wait below throws.
      const isEnding = CancellationScope.current().consideredCancelled;
      if (exit === 'roll_over' && !isEnding) await continueAsNew<typeof userMachine>(carryOf(data, inbox));
      await condition(() => bell.rings > heard);
    }
  } catch (error) {
    if (isCancellation(error)) await CancellationScope.nonCancellable(() => lane.leave());
    throw error;
  }
}
