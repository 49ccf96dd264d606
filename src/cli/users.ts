/** `innkeeper users`: every user and their machine. */
import type { Command } from 'commander';
import { listUsers, type UserView } from '../store/users.js';
import { print, withCommonOptions, type CommonOptions } from './command.js';
import { deploymentConfig, withStore } from './deployment.js';
import { formatTable, outputColumns, showInstant, type Column } from './table.js';

const PAGE = 500;

const COLUMNS: readonly Column<UserView>[] = [
  { title: 'USER', show: (user) => user.userId },
  { title: 'MACHINE', show: (user) => user.machine.phase },
  { title: 'GEN', align: 'right', show: (user) => String(user.machine.generation) },
  { title: 'OPEN', align: 'right', show: (user) => String(user.queueLength) },
  { title: 'TURNS', align: 'right', show: (user) => String(user.turnCount) },
  { title: 'LAST TURN (UTC)', show: (user) => showInstant(user.lastTurnAt).slice(0, 16) },
  { title: 'ERROR', show: (user) => user.lastErrorCode ?? '-' },
];

export function addUsers(program: Command): void {
  withCommonOptions(program.command('users').description('list the users and their machines')).action(
    async (options: CommonOptions) => {
      const users = await withStore(deploymentConfig(options), async (store) => {
        const all: UserView[] = [];
        for (;;) {
          const after = all.at(-1)?.userId;
          const page = await listUsers(store, { limit: PAGE, ...(after === undefined ? {} : { after }) });
          all.push(...page);
          if (page.length < PAGE) return all;
        }
      });
      print({ users }, options, () =>
        users.length === 0
          ? 'No users yet. Say something: innkeeper chat --user ada'
          : formatTable(users, COLUMNS, outputColumns(process.stdout)),
      );
    },
  );
}
