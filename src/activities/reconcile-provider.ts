/**
 * One page of the provider's list against the ledger: machines that nobody knows, and machines that are buried and live on. No
 * lane owns these, so they are destroyed from here; everything else about a machine is its lane's.
 */
import type { Decision, ProviderPage, ProviderPageInput, ReportedFinding } from '../contracts/reconcile.js';
import { RECONCILE_PAGE_MACHINES_MAX } from '../contracts/limits.js';
import type { Machine } from '../machines/provider.js';
import { findingRequestKey, type NotedFinding } from '../store/findings.js';
import { ledgerOf, type KnownMachine, type LedgerView } from '../store/reconcile.js';
import { recordSightings } from '../store/sightings.js';
import { cancellationSignal } from './context.js';
import { judgeDestroy, judgeUnknown } from './reconcile-compare.js';
import { handleFinding, toSeen, type ReconcileDeps } from './reconcile-deps.js';

interface Orphan {
  readonly machine: Machine;
  /** undefined: no row names it. */
  readonly buried: KnownMachine | undefined;
  readonly ledger: LedgerView;
}

export function createReconcileProvider(deps: ReconcileDeps): (input: ProviderPageInput) => Promise<ProviderPage> {
  const { store, machines } = deps;

  /** undefined: the provider has it no more, or it is on its way out. */
  async function findAlive(machineId: string): Promise<Machine | undefined> {
    const found = await machines.find(machineId, { signal: cancellationSignal() });
    return found === undefined || toSeen(found).isEnding ? undefined : found;
  }

  async function destroy(machineId: string, { findingId }: NotedFinding): Promise<void> {
    const found = await findAlive(machineId);
    if (found === undefined || findingId === undefined) return;
    const ifMatch = found.revision;
    const idempotencyKey = await findingRequestKey(store, { findingId, ifMatch, newKey: deps.newKey });
    await machines.destroy(machineId, { idempotencyKey, ifMatch, signal: cancellationSignal() });
  }

  async function handleUnknown(
    input: ProviderPageInput,
    orphan: Orphan,
    destroysLeft: number,
  ): Promise<ReportedFinding> {
    const { machineId } = orphan.machine;
    const judge = ({ firstSeenAt, now }: NotedFinding, ledger: LedgerView): Decision =>
      judgeUnknown({ firstSeenAt, now, destroysLeft }, ledger, deps.reconcile);
    return handleFinding(
      deps,
      input,
      { kind: 'unknown_machine', subject: machineId, workflowId: null },
      {
        async decide(noted) {
          const decision = judge(noted, orphan.ledger);
          if (decision.action !== 'destroy') return decision;
          // The ledger once more, right before: its row may have been stored since.
          const ledger = await ledgerOf(store, machines.spellingsOf(machineId));
          return ledger.known.length > 0 ? { action: 'wait', reason: 'create_in_flight' } : judge(noted, ledger);
        },
        act: (_decision, noted) => destroy(machineId, noted),
      },
    );
  }

  /** undefined: the list was older than its burial. */
  async function handleBuried(
    input: ProviderPageInput,
    { machine: { machineId }, buried }: Orphan,
    destroysLeft: number,
  ): Promise<ReportedFinding | undefined> {
    if ((await findAlive(machineId)) === undefined) return undefined;
    const workflowId = buried?.workflowId ?? null;
    return handleFinding(
      deps,
      input,
      { kind: 'buried_machine', subject: machineId, workflowId },
      {
        decide: () => judgeDestroy(destroysLeft),
        act: (_decision, noted) => destroy(machineId, noted),
      },
    );
  }

  return async (input) => {
    const cursor = input.cursor === null ? {} : { cursor: input.cursor };
    const limit = RECONCILE_PAGE_MACHINES_MAX;
    const page = await machines.list({ ...cursor, limit, signal: cancellationSignal() });
    // Read after the list: whatever the list holds, its row was stored before.
    const ledger = await ledgerOf(
      store,
      page.machines.flatMap(({ machineId }) => machines.spellingsOf(machineId)),
    );
    const rows = new Map(ledger.known.map((row) => [keyOf(row.machineId), row]));
    const sightings = page.machines.filter(({ machineId }) => rows.has(keyOf(machineId)));
    await recordSightings(store, {
      reconcileId: input.reconcileId,
      sightings: sightings.map((machine) => ({ machineKey: keyOf(machine.machineId), ...toSeen(machine) })),
    });

    const findings: ReportedFinding[] = [];
    const destroyed = (): number =>
      findings.filter(({ action, outcome }) => action === 'destroy' && outcome !== 'failed').length;
    for (const machine of page.machines) {
      const buried = rows.get(keyOf(machine.machineId));
      if (toSeen(machine).isEnding || (buried !== undefined && buried.phase !== 'destroyed')) continue;
      const left = input.destroysLeft - destroyed();
      const orphan = { machine, buried, ledger };
      const finding =
        buried === undefined ? await handleUnknown(input, orphan, left) : await handleBuried(input, orphan, left);
      if (finding !== undefined) findings.push(finding);
    }
    const { nextCursor = null } = page;
    return { nextCursor, machines: page.machines.length, destroyed: destroyed(), findings };
  };

  function keyOf(machineId: string): string {
    return machines.spellingsOf(machineId)[0];
  }
}
