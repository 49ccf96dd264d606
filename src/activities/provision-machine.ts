/** Creating the next generation's machine, or finishing a creation in flight. A failed one in the way is buried first. */
import { InnkeeperError } from '../contracts/errors.js';
import { REPLACEMENT } from '../contracts/events.js';
import type { MachineView } from '../contracts/lane-state.js';
import { beginProvision, type MachineRow } from '../store/machines.js';
import { cancellationSignal, laneRun } from './context.js';
import { bury } from './destroy-machine.js';
import { createAs, movePhase, toView, transitionOf } from './ledger.js';
import type { MachineActivityDeps } from './machine-deps.js';
import { awaitPhase } from './machine-polls.js';

export function createProvisionMachine(deps: MachineActivityDeps): () => Promise<MachineView> {
  const { store, machines } = deps;

  async function create(row: MachineRow): Promise<string> {
    if (row.machineId !== null) return row.machineId;
    try {
      const { machineId } = await createAs(machines, row);
      const { generation } = row;
      await movePhase(store, { generation, phase: 'provisioning', from: ['provisioning'], fields: { machineId } });
      return machineId;
    } catch (error) {
      // Refused means that nothing was made: the row ends here, so that the next try is a request of its own.
      if (InnkeeperError.is(error) && error.code === 'PROVIDER_REFUSED') await bury(deps, row, undefined);
      throw error;
    }
  }

  return async () => {
    await machines.settle(cancellationSignal());
    for (;;) {
      const begun = await beginProvision(store, {
        ...laneRun(),
        size: deps.size,
        autosleepSeconds: machines.takesAutosleep ? deps.autosleepSeconds : null,
        newKey: deps.newKey,
        newNonce: deps.newNonce,
        replacedNote: (reason) =>
          `Your machine was replaced by a new, empty one (${reason}). ` +
          `Lost: ${REPLACEMENT.lost.join(', ')}. Kept: ${REPLACEMENT.kept.join(', ')}.`,
      });
      if (begun.kind === 'exists') return toView(begun.row);
      if (begun.kind === 'bury') {
        await bury(deps, begun.row, 'it failed for good');
        continue;
      }
      const { generation } = begun.row;
      const machineId = await create(begun.row);
      const timeoutMs = deps.polls.createTimeoutMs;
      const machine = await awaitPhase(deps, machineId, 'running', { timeoutMs, signal: cancellationSignal() });
      const existedFrom = transitionOf(machine);
      const change = { generation, phase: 'bootstrapping', fields: { existedFrom }, awakeFrom: existedFrom } as const;
      return movePhase(store, { ...change, from: ['provisioning'] });
    }
  };
}
