/** The workflow functions by name, nothing else: what the SDK bundles. */
export { reconcile } from './reconcile.js';
export { userMachine } from './user-machine.js';
