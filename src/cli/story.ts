/** `innkeeper dev --story`: runs the stack on a folder of its own, tells the story on it, and ends. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { currentEnvironment, inheritedEnvironment, type Environment } from '../config.js';
import { createStack, type Stack } from '../dev/stack.js';
import { createLogger } from '../log.js';
import { runStory } from '../story/run-story.js';
import { stopSignal } from './stop-signal.js';

/** By convention, for a process that a Ctrl-C ended by force. */
const EXIT_FORCED = 130;

export interface StoryCommandOptions {
  /** undefined: a temporary folder, removed when the story holds. */
  readonly data: string | undefined;
  readonly ports: 'fixed' | 'auto';
  readonly emulatorArgs: readonly string[];
  readonly json?: string;
}

export async function runStoryCommand(options: StoryCommandOptions): Promise<void> {
  const dataDir = options.data ?? mkdtempSync(join(tmpdir(), 'innkeeper-story-'));
  const stack = createStack({
    dataDir,
    ports: options.ports,
    env: storyEnvironment(currentEnvironment()),
    emulatorArgs: options.emulatorArgs,
    // The story kills parts; that they are started again is not news.
    log: createLogger({ level: 'error', part: 'dev' }),
  });
  const interrupt = new AbortController();
  const stop = stopSignal({
    onSecond: () => {
      stack.kill();
      process.exit(EXIT_FORCED);
    },
  });
  void stop.received.then(() => interrupt.abort());
  const passed = await tell(stack, options, interrupt.signal);
  if (!passed) {
    process.exitCode = 1;
    process.stdout.write(`State and logs: ${dataDir}\n`);
  } else if (options.data === undefined) {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function tell(stack: Stack, { json }: StoryCommandOptions, signal: AbortSignal): Promise<boolean> {
  const interrupted = new Promise<undefined>((resolve) => signal.addEventListener('abort', () => resolve(undefined)));
  process.stdout.write('Starting Postgres, Temporal, the emulator and a worker …\n');
  const starting = stack.start();
  starting.catch(() => undefined); // Read below; or interrupted, which is no failure.
  try {
    const running = await Promise.race([starting, interrupted]);
    if (running === undefined) return false;
    const story = runStory({
      stack: running,
      out: process.stdout,
      signal,
      ...(json === undefined ? {} : { jsonFile: json }),
    });
    story.catch(() => undefined); // Read below; an interrupted one meets parts that are gone.
    return (await Promise.race([story, interrupted]))?.passed ?? false;
  } finally {
    await stack.stop();
  }
}

/** The story needs the emulator, its model and the usual limits, whatever deployment this environment is for. Prices are taken. */
function storyEnvironment(env: Environment): Environment {
  const { PRICE_VCPU_HOUR, PRICE_GIB_MONTH } = env;
  return { ...inheritedEnvironment(env), PRICE_VCPU_HOUR, PRICE_GIB_MONTH };
}
