/** The status stream (server-sent events): one `status` event for each change, until the machine has arrived. */
import type { FastifyInstance } from 'fastify';
import { getMachine, type EmulatorContext } from '../context.js';
import { hasArrived } from '../machines/phases.js';
import type { MachineRecord } from '../state/records.js';
import { machineBody } from '../wire/bodies.js';
import { noteCall } from './define.js';

export function registerStatusStream(app: FastifyInstance, context: EmulatorContext): void {
  app.get('/machines/:machine_id/status/stream', async (request, reply) => {
    request.trace = { route: 'machines.watch' };
    const machine = getMachine(context, (request.params as Record<string, string>)['machine_id'] ?? '');
    noteCall(context, request, 200);
    reply.hijack();
    const out = reply.raw;
    out.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', connection: 'keep-alive' });
    let eventId = Number(request.headers['last-event-id'] ?? 0) || 0;
    const send = (current: MachineRecord): void => {
      eventId += 1;
      const body = JSON.stringify(machineBody(context.profile, current, 'mutation'));
      out.write(`id: ${eventId}\nevent: status\ndata: ${body}\n\nid: ${eventId}\nevent: bookmark\ndata: {}\n\n`);
      if (hasArrived(current)) stop();
    };
    const unlisten = context.lifecycle.listeners.add({
      onChanged: (changed) => {
        if (changed.id === machine.id) send(changed);
      },
    });
    const stop = (): void => {
      unlisten();
      out.end();
    };
    out.on('close', unlisten);
    send(machine);
  });
}
