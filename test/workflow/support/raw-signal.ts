/** Signals that no SDK would send: payloads as bytes, by gRPC. */
import { randomUUID } from 'node:crypto';
import type { LaneHarness, TestLane } from './lane-harness.js';

export interface RawPayload {
  /** undefined: a payload without metadata. */
  readonly encoding?: string;
  readonly data?: string | Uint8Array;
}

/** Signals a running lane with exactly these payloads; none: a signal without input. */
export async function sendRaw(
  harness: LaneHarness,
  lane: TestLane,
  signal: { readonly name: string; readonly payloads?: readonly RawPayload[] },
): Promise<void> {
  const { client } = harness;
  const payloads = signal.payloads?.map(({ encoding, data }) => ({
    ...(encoding === undefined ? {} : { metadata: { encoding: Buffer.from(encoding) } }),
    ...(data === undefined ? {} : { data: Buffer.from(data) }),
  }));
  await client.workflowService.signalWorkflowExecution({
    namespace: client.options.namespace,
    workflowExecution: { workflowId: lane.workflowId },
    signalName: signal.name,
    requestId: randomUUID(),
    identity: 'test',
    ...(payloads === undefined ? {} : { input: { payloads } }),
  });
}
