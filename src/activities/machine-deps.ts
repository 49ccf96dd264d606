/** What the activities of the machine's lifecycle are made from. */
import type { Guest } from '../guest/guest.js';
import type { MachineProvider, MachineSize } from '../machines/provider.js';
import type { Store } from '../store/pool.js';
import type { ActivityLog } from './context.js';
import type { Guests } from './guests.js';
import type { PollSettings } from './machine-polls.js';

export interface MachineActivityDeps {
  readonly store: Store;
  readonly machines: MachineProvider;
  readonly guest: Guest;
  readonly guests: Guests;
  readonly size: MachineSize;
  /** The provider's own sleep is only for the day when no worker runs: later than anything of ours. */
  readonly autosleepSeconds: number;
  readonly polls: PollSettings;
  readonly newKey: () => string;
  readonly newNonce: () => string;
  readonly log: ActivityLog;
}
