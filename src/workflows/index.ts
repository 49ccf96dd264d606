/** The workflow functions by name, nothing else: what the SDK bundles. */
export { userMachine } from './user-machine.js';
