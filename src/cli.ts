#!/usr/bin/env node
/**
 * The `innkeeper` command: knows its commands and how they fail; each lives in src/cli/. What only one of them needs, Temporal's SDK
 * above all, is loaded when that one runs: loading all of it takes a second.
 */
import { Command } from 'commander';
import { addChat } from './cli/chat.js';
import { addDev } from './cli/dev.js';
import { addDoctor } from './cli/doctor.js';
import { addEmulator } from './cli/emulator.js';
import { addFindings } from './cli/findings.js';
import { reportFailure } from './cli/fail.js';
import { addKeys } from './cli/keys.js';
import { addMachineVerbs } from './cli/machine.js';
import { addMigrate } from './cli/migrate.js';
import { addReconcile } from './cli/reconcile.js';
import { addShow, addTurns } from './cli/turns.js';
import { addTail } from './cli/tail.js';
import { addUsage } from './cli/usage.js';
import { addUsers } from './cli/users.js';

const program = new Command('innkeeper')
  .description('One durable Linux machine for every user of a chat product.')
  .option('--verbose', 'show where an error comes from');

addDev(program);
addChat(program);
addUsers(program);
addTurns(program);
addShow(program);
addTail(program);
addMachineVerbs(program);
addUsage(program);
addReconcile(program);
addFindings(program);
addKeys(program);
addDoctor(program);
addMigrate(program);
addEmulator(program);

try {
  await program.parseAsync();
} catch (error) {
  reportFailure(error, { verbose: program.opts<{ verbose?: true }>().verbose === true });
}
