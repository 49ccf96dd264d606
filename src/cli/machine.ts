/** `innkeeper sleep`, `wake` and `destroy`: what an operator asks of a user's machine. The lane does it when it may. */
import type { Command } from 'commander';
import type { InnkeeperClient } from '../client.js';
import { parseUserId } from '../contracts/ids.js';
import { print, withUserOptions, type UserOptions } from './command.js';
import { deploymentConfig, withClient } from './deployment.js';

const VERBS = [
  {
    name: 'sleep',
    description: "put a user's machine to sleep as soon as no turn is open",
    ask: (client: InnkeeperClient, userId: string) => client.sleepNow({ userId }),
    done: 'Asked. The machine sleeps as soon as no turn is open.',
  },
  {
    name: 'wake',
    description: "wake a user's machine, or make one",
    ask: (client: InnkeeperClient, userId: string) => client.wakeNow({ userId }),
    done: 'Asked. The machine is on its way.',
  },
  {
    name: 'destroy',
    description: "delete a user's machine and everything on it, for good",
    ask: (client: InnkeeperClient, userId: string) => client.destroyUser({ userId }),
    done: 'Asked. Nothing more is taken for this user; the machine is deleted.',
  },
] as const;

export function addMachineVerbs(program: Command): void {
  for (const { name, description, ask, done } of VERBS) {
    withUserOptions(program.command(name).description(description)).action(async (options: UserOptions) => {
      const userId = parseUserId(options.user);
      await withClient(deploymentConfig(options), (client) => ask(client, userId));
      print({ userId, asked: name }, options, () => done);
    });
  }
}
