/** `innkeeper dev`, which is what `npm start` runs: everything on this computer, and a chat where there is a terminal. */
import { userInfo } from 'node:os';
import { Option, type Command } from 'commander';
import { currentEnvironment, loadClientConfig } from '../config.js';
import { parseUserId } from '../contracts/ids.js';
import type { RunningStack } from '../dev/stack.js';
import { createLogger } from '../log.js';
import { runChat } from './chat.js';
import { DATA_DIR_DEFAULT } from './deployment.js';
import { emulatorOptions } from './emulator.js';
import { stopSignal } from './stop-signal.js';
import { formatFields } from './table.js';

/** By convention, for a process that a Ctrl-C ended by force. */
const EXIT_FORCED = 130;

interface DevOptions {
  readonly data: string;
  readonly ports: 'fixed' | 'auto';
  readonly user?: string;
  readonly profile: string;
  readonly guestNetwork?: true;
  readonly modelScript?: string;
  readonly story?: true;
  readonly json?: string;
}

export function addDev(program: Command): void {
  const command = program
    .command('dev')
    .description('run everything on this computer; in a terminal, chat')
    .option('--data <dir>', 'folder of all state', DATA_DIR_DEFAULT)
    .addOption(
      new Option('--ports <which>', 'the usual ports, or free ones').choices(['fixed', 'auto']).default('fixed'),
    )
    .option('--user <id>', 'who chats in the terminal')
    .option('--story', 'tell and check what this product is for, on a folder and ports of its own, and end')
    .option('--json <file>', 'with --story: where each step, its evidence and times are written');
  emulatorOptions().forEach((option) => command.addOption(option));
  command.action(async (options: DevOptions) => {
    if (options.story === undefined) return runDev(options);
    const isGiven = (name: string): boolean => command.getOptionValueSource(name) !== 'default';
    const { runStoryCommand } = await import('./story.js');
    return runStoryCommand({
      data: isGiven('data') ? options.data : undefined,
      ports: isGiven('ports') ? options.ports : 'auto',
      emulatorArgs: emulatorArgs(options),
      ...(options.json === undefined ? {} : { json: options.json }),
    });
  });
}

async function runDev(options: DevOptions): Promise<void> {
  const { createStack } = await import('../dev/stack.js');
  const userId = parseUserId(options.user ?? ownName());
  const isTerminal = process.stdin.isTTY && process.stdout.isTTY;
  const stack = createStack({
    dataDir: options.data,
    ports: options.ports,
    env: currentEnvironment(),
    emulatorArgs: emulatorArgs(options),
    log: createLogger({ level: 'warn', part: 'dev' }),
  });
  const stop = stopSignal({
    onSecond: () => {
      stack.kill();
      process.exit(EXIT_FORCED);
    },
  });
  void stop.received.then(() => process.stderr.write('Stopping …\n'));
  const starting = stack.start();
  // An interrupted start rejects as well; it was asked for, so it is no failure.
  const running = await Promise.race([starting, stop.received.then(() => undefined)]);
  if (running !== undefined) {
    if (isTerminal) {
      process.stdout.write(`${welcome(running, options)}\n\nThe page: ${pageUrlOf(running)}\n\n`);
      await runChat({ config: loadClientConfig(running.settings), userId, stop, json: false });
      stop.raise();
    } else {
      process.stdout.write(`${JSON.stringify(readyLine(running))}\n`);
      await stop.received;
    }
  }
  await stack.stop();
  await starting.catch(() => undefined); // Interrupted by the stop.
}

function emulatorArgs(options: DevOptions): string[] {
  return [
    ...['--profile', options.profile],
    ...(options.guestNetwork === undefined ? [] : ['--guest-network']),
    ...(options.modelScript === undefined ? [] : ['--model-script', options.modelScript]),
  ];
}

/** What a program that started us needs. */
function readyLine(running: RunningStack): Record<string, string | null> {
  return {
    temporalAddress: running.temporalAddress,
    temporalUiUrl: running.temporalUiUrl,
    databaseUrl: running.databaseUrl,
    emulatorUrl: running.emulator?.url ?? null,
    emulatorApiKey: running.emulator?.apiKey ?? null,
    modelUrl: running.emulator?.modelUrl ?? null,
    gatewayUrl: running.gatewayUrl,
    pageUrl: pageUrlOf(running),
    apiKey: running.apiKey,
  };
}

function welcome(running: RunningStack, options: DevOptions): string {
  const { DEDALUS_MACHINES_BASE_URL: machines = '' } = running.settings;
  return formatFields([
    ['HTTP', `${running.gatewayUrl} (documents: ${running.gatewayUrl}/docs)`],
    ['Temporal UI', running.temporalUiUrl],
    ['Temporal', running.temporalAddress],
    ['Postgres', new URL(running.databaseUrl).host],
    ['Machines', running.emulator === undefined ? machines : `${machines} (local emulator, ${options.profile})`],
    ['State, logs', `${options.data}, ${options.data}/logs`],
  ]);
}

/** Behind the hash, so that the key reaches neither the server's log nor another site. */
function pageUrlOf({ gatewayUrl, apiKey }: RunningStack): string {
  return `${gatewayUrl}/#key=${apiKey}`;
}

function ownName(): string {
  try {
    return userInfo().username;
  } catch {
    return 'me'; // A container may run as a user without a name.
  }
}
