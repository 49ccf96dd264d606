/** `innkeeper emulator`: the machines API of the vendor on this computer, until it is stopped. */
import { readFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { InnkeeperError } from '../contracts/errors.js';
import { assertPortFree } from '../dev/ports.js';
import { FIXED_PORTS } from '../dev/stack-settings.js';
import { PROFILES, type Profile } from '../emulator/options.js';
import { createLogger } from '../log.js';
import { wholeNumber } from './command.js';
import { stopSignal } from './stop-signal.js';

const PORT_MAX = 65_535;

interface EmulatorCommandOptions {
  readonly port: number;
  readonly profile: Profile;
  readonly data: string;
  readonly host?: string;
  readonly allowRemote?: true;
  readonly apiKeyFile?: string;
  readonly guestNetwork?: true;
  readonly modelScript?: string;
}

/** Options that `innkeeper dev` takes too and passes on. */
export function emulatorOptions(): Option[] {
  return [
    new Option('--profile <name>', "generation of the vendor's API").choices(PROFILES).default('g2'),
    new Option('--guest-network', "let machines use this computer's network"),
    new Option('--model-script <file>', 'scripted conversations for the built-in model'),
  ];
}

export function addEmulator(program: Command): void {
  const command = program
    .command('emulator')
    .description('run the machines API on this computer; prints one JSON line when ready')
    .option('--port <number>', '0 picks a free one', wholeNumber(0, PORT_MAX), FIXED_PORTS.emulator)
    .option('--data <dir>', 'folder of its state', '.data/emulator')
    .option('--host <address>', 'address to listen on')
    .option('--allow-remote', 'allow another address than loopback: whoever reaches it gets shells here')
    .option('--api-key-file <file>', 'the key to ask for; without it, one is made and kept with the state');
  emulatorOptions().forEach((option) => command.addOption(option));
  command.action(async (options: EmulatorCommandOptions) => {
    const { startEmulator } = await import('../emulator/index.js');
    const { port } = options;
    if (port !== 0 && options.host === undefined) await assertPortFree(port, 'the emulator');
    const emulator = await startEmulator({
      profile: options.profile,
      dataDir: options.data,
      port,
      log: createLogger({ level: 'info', part: 'emulator' }),
      ...(options.host === undefined ? {} : { host: options.host }),
      ...(options.allowRemote === undefined ? {} : { allowRemote: true }),
      ...(options.apiKeyFile === undefined ? {} : { apiKey: readKey(options.apiKeyFile) }),
      ...(options.guestNetwork === undefined ? {} : { guestNetwork: true }),
      ...(options.modelScript === undefined ? {} : { modelScriptFile: options.modelScript }),
    });
    const { url, apiKey, modelUrl } = emulator;
    process.stdout.write(`${JSON.stringify({ url, apiKey, modelUrl })}\n`);
    await stopSignal().received;
    await emulator.close();
  });
}

function readKey(file: string): string {
  try {
    const key = readFileSync(file, 'utf8').trim();
    if (key !== '') return key;
  } catch (cause) {
    throw new InnkeeperError('SETTINGS_INVALID', `--api-key-file: ${file} cannot be read.`, { cause });
  }
  throw new InnkeeperError('SETTINGS_INVALID', `--api-key-file: ${file} is empty.`);
}
