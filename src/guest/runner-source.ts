/** The runner as shipped: its text, the path that its content gives it, and how it is put on a machine. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { InnkeeperError } from '../contracts/errors.js';
import type { MachineAccess } from '../machines/provider.js';

const INSTALL_TIMEOUT_MS = 30_000;

/** Writes stdin as the runner, whole or not at all, and removes those of other releases. */
const INSTALL_SCRIPT = `set -e
umask 077
dir=~/.innkeeper
mkdir -p "$dir/journal" "$dir/context"
new=$(mktemp "$dir/new.XXXXXX")
trap 'rm -f "$new"' EXIT
cat >"$new"
printf '%s  %s\\n' "$1" "$new" | sha256sum -c --status
mv -f "$new" "$dir/runner-$1.sh"
trap - EXIT
for old in "$dir"/runner-*.sh; do
  [ "$old" = "$dir/runner-$1.sh" ] || rm -f "$old"
done`;

export interface RunnerSource {
  readonly text: string;
  /** Path for a shell to expand: it begins with a tilde. */
  readonly path: string;
  readonly hash: string;
}

/** Reads the runner that lies beside this file. */
export function loadRunner(url = new URL('./runner.sh', import.meta.url)): RunnerSource {
  const text = readFileSync(url, 'utf8');
  const hash = createHash('sha256').update(text).digest('hex');
  return { text, hash, path: `~/.innkeeper/runner-${hash}.sh` };
}

/** Puts the runner on the machine. @throws what `execute` throws; GUEST_UNREACHABLE where the machine could not store it */
export async function installRunner(options: {
  readonly machines: MachineAccess;
  readonly machineId: string;
  readonly runner: RunnerSource;
  readonly idempotencyKey: string;
  readonly signal: AbortSignal;
}): Promise<void> {
  const result = await options.machines.execute(
    options.machineId,
    {
      argv: ['/bin/bash', '-c', INSTALL_SCRIPT, 'innkeeper', options.runner.hash],
      stdin: options.runner.text,
      timeoutMs: INSTALL_TIMEOUT_MS,
    },
    { idempotencyKey: options.idempotencyKey, signal: options.signal },
  );
  if (result.exitCode !== 0) {
    throw new InnkeeperError('GUEST_UNREACHABLE', `The runner could not be placed: ${result.stderr.slice(0, 300)}`);
  }
}

/** What a shell without the runner says in its place. */
const MISSING_HEADER = 'missing - body=0 enc=raw of=- ';

/**
 * One line that makes an interactive shell the runner, in this part, with this tag; or has it say `missing` in a frame. Its echo
 * never looks like a frame: the frame's first byte is spelled out.
 */
export function startLine(
  runner: RunnerSource,
  words: readonly [part: string, tag: string, ...more: string[]],
): Buffer {
  if (!words.every((word) => /^[A-Za-z0-9_.-]+$/.test(word))) {
    throw new InnkeeperError('INVALID_INPUT', 'An owner nonce is letters, digits, dots and dashes.');
  }
  const [, tag] = words;
  return Buffer.from(
    ` unset HISTFILE; if [ -f ${runner.path} ]; then exec env --default-signal bash ${runner.path} ${words.join(' ')}; ` +
      `else printf '\\036%s ${MISSING_HEADER.length} ${MISSING_HEADER}\\037\\035%s\\n' ${tag} ${tag}; fi\n`,
  );
}
