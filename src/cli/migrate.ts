/** `innkeeper migrate`: brings the database to the newest schema. */
import type { Command } from 'commander';
import { createLogger } from '../log.js';
import { print, withCommonOptions, type CommonOptions } from './command.js';
import { deploymentConfig } from './deployment.js';

export function addMigrate(program: Command): void {
  withCommonOptions(program.command('migrate').description('bring the database to the newest schema')).action(
    async (options: CommonOptions) => {
      const { migrate } = await import('../store/migrate.js');
      const { url } = deploymentConfig(options).database;
      const { applied } = await migrate({ url, log: createLogger({ level: 'warn', part: 'migrate' }) });
      print({ applied }, options, () =>
        applied.length === 0 ? 'The schema is up to date.' : applied.map((name) => `applied ${name}`).join('\n'),
      );
    },
  );
}
