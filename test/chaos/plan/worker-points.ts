/**
 * Every place at which a worker is killed: each activity, before its effect, after its effect, after the response (what came of it is
 * known and not stored yet), and before its completion. src/worker/fault-points.ts says what a place is.
 */

/** The effect of an activity is the call that changes something outside of Postgres; where there is none, its first commit. */
const PLACES: Readonly<Record<string, readonly string[]>> = {
  openNextTurn: ['begin', 'store.commit:before', 'store.commit:after', 'completion'],
  admitPrompt: ['begin', 'store.commit:before', 'store.commit:after', 'completion'],
  recordCancel: ['begin', 'store.commit:before', 'store.commit:after', 'completion'],
  recordRejection: ['begin', 'store.query:before', 'store.query:after', 'completion'],
  think: [
    'model.complete:before',
    'model.complete:after',
    'store.commit[2]:before',
    'store.commit[2]:after',
    'completion',
  ],
  act: ['guest.run:before', 'guest.run:after', 'store.commit[2]:before', 'store.commit[2]:after', 'completion'],
  stopCommand: ['guest.stop:before', 'guest.stop:after', 'store.commit:before', 'completion'],
  closeTurn: ['begin', 'store.commit:before', 'store.commit:after', 'completion'],
  provisionMachine: ['machines.create:before', 'machines.create:after', 'store.commit[2]:before', 'completion'],
  bootstrapMachine: ['guest.bootstrap:before', 'guest.bootstrap:after', 'store.commit:before', 'completion'],
  wakeMachine: ['machines.wake:before', 'machines.wake:after', 'store.commit[2]:before', 'completion'],
  sleepMachine: ['machines.sleep:before', 'machines.sleep:after', 'store.commit[2]:before', 'completion'],
  markMachineLost: ['machines.find:before', 'machines.find:after', 'store.commit:before', 'completion'],
  beginReconcile: ['begin', 'store.query:after', 'completion'],
  reconcileProvider: ['machines.list:before', 'machines.list:after', 'store.query:after', 'completion'],
  reconcileUsers: ['begin', 'lanes.tell:before', 'lanes.tell:after', 'completion'],
  endReconcile: ['begin', 'store.query:before', 'store.query:after', 'completion'],
  destroyMachine: ['machines.destroy:before', 'machines.destroy:after', 'store.commit[2]:before', 'completion'],
};

export const WORKER_POINTS: readonly string[] = Object.entries(PLACES).flatMap(([activity, places]) =>
  places.map((place) => `${activity}/${place}`),
);
