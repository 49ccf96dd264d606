/** The system prompt: a template (built in, or a file of the deployment) and the facts of the moment put into it. */
import { readFileSync } from 'node:fs';
import { InnkeeperError } from '../contracts/errors.js';

/** What the agent has to know before a turn. Times are ISO 8601. */
export interface SystemPromptFacts {
  readonly user: string;
  /** undefined: not there yet, it is prepared while the model thinks. */
  readonly machineId: string | undefined;
  readonly home: string;
  /** Packages that bootstrap could not install. */
  readonly missing: readonly string[];
  /** Last time the machine slept; undefined: it has not slept since it was created. */
  readonly lastSleep: { readonly sleptAt: string; readonly wokenAt: string | undefined } | undefined;
  /** The machine is not the first one. */
  readonly replaced: { readonly at: string; readonly reason: string } | undefined;
  readonly now: string;
}

export interface SystemPromptTemplate {
  render(facts: SystemPromptFacts): string;
}

/** The built-in template, which is also the example for one's own. */
const DEFAULT_SYSTEM_PROMPT = `You are an agent with a Linux machine of your own. It belongs to the user "{{user}}" and to nobody else ({{machine}}).

You work on it with the tools: \`bash\` runs a command, \`write_file\` and \`read_file\` handle files. Use them instead of guessing, look at what they answer, and tell the user the result in plain words.

What lasts and what does not:
- Everything under {{home}} lasts: between messages, over days, while the machine sleeps. Keep all work, tools and caches there.
- The shell's directory and its exported variables are carried over from command to command.
- Processes do not last: when the user has been quiet for a while the machine is put to sleep, and what was running is gone when it wakes. Files outside {{home}} may be gone too.
- Commands get no input and no terminal, and each has a time limit. Start what should keep running in the background, with its output in a file.
- Long output is shortened in the middle: write it to a file and look at the part that you need.

{{missing}}

{{lastSleep}}

{{replaced}}

Messages in <system-note> marks come from the system that runs you, not from the user.
`;

const writers: Readonly<Record<string, (facts: SystemPromptFacts) => string>> = {
  user: (facts) => facts.user,
  machine: (facts) =>
    facts.machineId === undefined ? 'it is being prepared right now' : `its id is ${facts.machineId}`,
  home: (facts) => facts.home,
  missing: (facts) =>
    facts.missing.length === 0
      ? ''
      : `These could not be installed on the machine and are missing: ${facts.missing.join(', ')}.`,
  lastSleep: ({ lastSleep }) => {
    if (lastSleep === undefined) return '';
    const until = lastSleep.wokenAt === undefined ? 'and is being woken now' : `until ${lastSleep.wokenAt}`;
    return `The machine slept from ${lastSleep.sleptAt} ${until}: processes started before that are gone.`;
  },
  replaced: ({ replaced }) =>
    replaced === undefined
      ? ''
      : `The machine was replaced by a new, empty one at ${replaced.at} (${replaced.reason}): files from before that are lost.`,
  now: (facts) => facts.now,
};

/** Names that a template may hold as `{{name}}`. */
const PLACEHOLDERS = Object.keys(writers);

const TEMPLATE_BYTES_MAX = 64 * 1024;

/** The template of `file`, or the built-in one. @throws InnkeeperError SETTINGS_INVALID */
export function loadSystemPromptTemplate(file: string | undefined): SystemPromptTemplate {
  if (file === undefined) return parseSystemPromptTemplate(DEFAULT_SYSTEM_PROMPT, 'the built-in system prompt');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InnkeeperError('SETTINGS_INVALID', `MODEL_SYSTEM_PROMPT_FILE cannot be read: ${reason}`);
  }
  return parseSystemPromptTemplate(text, `MODEL_SYSTEM_PROMPT_FILE (${file})`);
}

/** `source` names the template in messages. @throws InnkeeperError SETTINGS_INVALID */
export function parseSystemPromptTemplate(text: string, source: string): SystemPromptTemplate {
  const refuse = (problem: string): never => {
    throw new InnkeeperError('SETTINGS_INVALID', `${source} ${problem}`);
  };
  if (text.trim() === '') refuse('is empty.');
  if (Buffer.byteLength(text) > TEMPLATE_BYTES_MAX) refuse(`is larger than ${TEMPLATE_BYTES_MAX} bytes.`);
  const unknown = [...text.matchAll(/\{\{([^{}]*)\}\}/g)]
    .map((match) => match[1]!.trim())
    .filter((name) => !Object.hasOwn(writers, name));
  if (unknown.length > 0) {
    refuse(
      `has placeholders that do not exist: ${[...new Set(unknown)].map((name) => `{{${name}}}`).join(', ')}. ` +
        `There are ${PLACEHOLDERS.map((name) => `{{${name}}}`).join(', ')}.`,
    );
  }
  return {
    render: (facts) =>
      text
        .replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name: string) => writers[name]!(facts))
        .replace(/\n{3,}/g, '\n\n')
        .trim(),
  };
}
