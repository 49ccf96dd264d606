/** `innkeeper keys`: who may ask the gateway. */
import { Option, type Command } from 'commander';
import { createApiKey, KEY_SCOPES, listApiKeys, revokeApiKey, type ApiKey, type KeyScope } from '../store/api-keys.js';
import { print, withCommonOptions, type CommonOptions } from './command.js';
import { deploymentConfig, withStore } from './deployment.js';
import { formatTable, outputColumns, showInstant, type Column } from './table.js';

const COLUMNS: readonly Column<ApiKey>[] = [
  { title: 'ID', show: (key) => key.keyId },
  { title: 'NAME', show: (key) => key.name },
  { title: 'SCOPE', show: (key) => key.scope },
  { title: 'CREATED (UTC)', show: (key) => showInstant(key.createdAt).slice(0, 16) },
  { title: 'REVOKED (UTC)', show: (key) => showInstant(key.revokedAt).slice(0, 16) },
];

export function addKeys(program: Command): void {
  const keys = program.command('keys').description('the keys of the HTTP gateway');
  withCommonOptions(keys.command('create <name>').description('make a key; it is shown once'))
    .addOption(
      new Option('--scope <scope>', "service: every user's turns and machine; operator: the list of users too")
        .choices(KEY_SCOPES)
        .default('service'),
    )
    .action(async (name: string, options: CommonOptions & { readonly scope: KeyScope }) => {
      const { scope } = options;
      const made = await withStore(deploymentConfig(options), (store) => createApiKey(store, { name, scope }));
      print(
        made,
        options,
        () => `${made.key}\nKeep it now: only its hash is stored. Revoke it by its id, ${made.keyId}.`,
      );
    });
  withCommonOptions(keys.command('list').description('list the keys, revoked ones included')).action(
    async (options: CommonOptions) => {
      const all = await withStore(deploymentConfig(options), listApiKeys);
      print({ keys: all }, options, () =>
        all.length === 0
          ? 'No keys yet: innkeeper keys create NAME'
          : formatTable(all, COLUMNS, outputColumns(process.stdout)),
      );
    },
  );
  withCommonOptions(keys.command('revoke <id>').description('end a key at once')).action(
    async (keyId: string, options: CommonOptions) => {
      const key = await withStore(deploymentConfig(options), (store) => revokeApiKey(store, { keyId }));
      print(key, options, () => `${key.name} (${key.keyId}) is revoked.`);
    },
  );
}
