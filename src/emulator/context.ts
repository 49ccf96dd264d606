/** Everything the routes need, made once by the composition in index.ts. */
import type { Executions } from './executions/executions.js';
import type { Faults } from './faults/faults.js';
import type { MachineHost } from './machines/host.js';
import type { Lifecycle } from './machines/lifecycle.js';
import type { EmulatorLog, Profile } from './options.js';
import type { EmulatorRecord, MachineRecord } from './state/records.js';
import type { Settings } from './state/settings.js';
import type { Store } from './state/store.js';
import type { Terminals } from './terminals/terminals.js';
import { notFound } from './wire/errors.js';
import type { ProfileRules } from './wire/profiles.js';

export interface EmulatorContext {
  profile: Profile;
  rules: ProfileRules;
  apiKey: string;
  log: EmulatorLog;
  store: Store;
  host: MachineHost;
  lifecycle: Lifecycle;
  executions: Executions;
  terminals: Terminals;
  faults: Faults;
  settings(): Settings;
  /** Facts about the emulator as a whole, as they are to be journalled. */
  emulatorRecord(change?: Partial<EmulatorRecord>): EmulatorRecord;
}

/** Finds a machine by any form of its id; destroyed ones count as gone. Throws the vendor's 404. */
export function getMachine(context: EmulatorContext, machineId: string): MachineRecord {
  const machine = findMachine(context, machineId);
  if (!machine || machine.phase === 'destroyed') throw notFound('machine');
  return machine;
}

/** As `getMachine`, destroyed ones included. */
export function findMachine(context: EmulatorContext, machineId: string): MachineRecord | undefined {
  const bare = machineId.replace(/^dm-/, '');
  return context.store.machines.get(bare) ?? context.store.machines.get(`dm-${bare}`);
}
