/** The execution that a machine sees after every boot and before any attachment: the bootstrap recipe. It says who the machine is. */
import { createHash } from 'node:crypto';
import { InnkeeperError } from '../contracts/errors.js';
import type { ExecutionResult, MachineProvider } from '../machines/provider.js';
import type { BootstrapCall, BootstrapReport, GuestIdentity } from './guest.js';

/** Refreshing the package lists, and installing: without a network both must give up, not hang. */
const UPDATE_SECONDS_MAX = 120;
const INSTALL_SECONDS_MAX = 600;
const BOOTSTRAP_TIMEOUT_MS = 2 * (UPDATE_SECONDS_MAX + INSTALL_SECONDS_MAX) * 1_000;
const APT_NETWORK_SECONDS = 15;

/** What a machine is given beyond its base image. */
export interface BootstrapRecipe {
  /** A tool is there when `command` is found; else `debianPackage` is installed. */
  readonly tools: readonly { readonly name: string; readonly command: string; readonly debianPackage: string }[];
}

export const DEFAULT_RECIPE: BootstrapRecipe = {
  tools: [
    { name: 'curl', command: 'curl', debianPackage: 'curl' },
    { name: 'git', command: 'git', debianPackage: 'git' },
    { name: 'python3-pip', command: 'pip3', debianPackage: 'python3-pip' },
    { name: 'nodejs', command: 'node', debianPackage: 'nodejs' },
  ],
};

interface Call extends BootstrapCall {
  readonly recipe: BootstrapRecipe;
}

/**
 * The marker lies outside the home directory, as what is installed does: whatever wipes the one wipes the other. /tmp stands
 * in where the root file system cannot be written.
 */
function markers(recipe: BootstrapRecipe): string {
  const name = `bootstrap-${createHash('sha256')
    .update(JSON.stringify([1, recipe]))
    .digest('hex')
    .slice(0, 16)}`;
  return `/var/lib/innkeeper/${name} /tmp/.innkeeper-${name}`;
}

/** Below the home directory; the runner's own folder. Made by bootstrapping, so that a home without it tells something. */
const HOME_FOLDER = '.innkeeper';
/** What a fresh home directory holds, and bash by itself. */
const NOBODYS_FILES = ['.bash*', '.profile', '.cache', 'lost+found'];

/** Says which boot of which home this is. */
const IDENTITY_SCRIPT = `read -r boot </proc/sys/kernel/random/boot_id || exit 1
home=\${HOME:-~}
printf 'innkeeper-machine %s %s\\n' "$boot" "$(printf %s "$home" | base64 -w 0)"`;

/** Leaves a home that holds nothing of anybody's as it is. */
const EMPTY_HOME_SCRIPT = `if [ ! -d "$home/${HOME_FOLDER}" ] \\
  && files=$(find "$home" -mindepth 1 -maxdepth 1 ${NOBODYS_FILES.map((name) => `! -name '${name}'`).join(' ')} -print -quit) \\
  && [ -z "$files" ]; then printf 'innkeeper-empty-home\\n' >&3; exit 0; fi`;

/** @throws InnkeeperError GUEST_UNREACHABLE where the answer makes no sense */
function identityOf(result: ExecutionResult): GuestIdentity {
  const match = /^innkeeper-machine (\S+) (\S+)$/m.exec(result.stdout);
  if (match === null) {
    throw new InnkeeperError('GUEST_UNREACHABLE', 'The machine ran a command but did not say who it is.', {
      details: { exitCode: result.exitCode ?? -1 },
    });
  }
  return { bootId: match[1] ?? '', home: Buffer.from(match[2] ?? '', 'base64').toString('utf8') };
}

function bootstrapScript({ recipe, expectsHome }: Call): string {
  const triples = recipe.tools.map((tool) => `${tool.name}:${tool.command}:${tool.debianPackage}`).join(' ');
  if (!/^[A-Za-z0-9 :._+-]*$/.test(triples)) {
    throw new InnkeeperError('SETTINGS_INVALID', 'A bootstrap recipe names tools, commands and Debian packages only.');
  }
  return `${IDENTITY_SCRIPT}
exec 3>&1 >/dev/null 2>&1 </dev/null
${expectsHome ? EMPTY_HOME_SCRIPT : ''}
mkdir -p -m 700 "$home/${HOME_FOLDER}"
for marker in ${markers(recipe)}; do
  [ -f "$marker" ] && { printf 'innkeeper-bootstrap %s\\n' "$(cat "$marker")" >&3; exit 0; }
done
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
tools='${triples}'
missing() { for tool in $tools; do IFS=: read -r name command package <<<"$tool"; command -v "$command" || printf '%s ' "\${!1}" >&4; done; }
list() { missing "$1" 4>&1 >/dev/null; }
exec 9>>/tmp/.innkeeper-bootstrap.lock && flock -w ${UPDATE_SECONDS_MAX + INSTALL_SECONDS_MAX} 9
apt() {
  timeout -k 10 "$1" apt-get -q -o Acquire::http::Timeout=${APT_NETWORK_SECONDS} -o Acquire::https::Timeout=${APT_NETWORK_SECONDS} \\
    -o Acquire::Retries=1 -o DPkg::Lock::Timeout=60 "\${@:2}" 9>&- 3>&-
}
packages=$(list package)
if [ -n "$packages" ] && command -v apt-get && [ -w /var/lib/dpkg ]; then
  if apt ${UPDATE_SECONDS_MAX} update; then
    if ! apt ${INSTALL_SECONDS_MAX} install -y --no-install-recommends $packages; then
      for package in $packages; do apt ${Math.ceil(INSTALL_SECONDS_MAX / 4)} install -y --no-install-recommends "$package"; done
    fi
  fi
fi
left=$(list name)
mkdir -p /var/lib/innkeeper
for marker in ${markers(recipe)}; do { printf '%s\\n' "$left" >"$marker.new" && mv -f "$marker.new" "$marker"; } && break; done
printf 'innkeeper-bootstrap %s\\n' "$left" >&3`;
}

/**
 * Runs the recipe. What cannot be installed is reported, never thrown.
 * @throws what `execute` throws; GUEST_UNREACHABLE where the answer makes no sense
 */
export async function runBootstrap(machines: MachineProvider, machineId: string, call: Call): Promise<BootstrapReport> {
  const names = call.recipe.tools.map((tool) => tool.name);
  const result = await machines.execute(
    machineId,
    { argv: ['/bin/bash', '-c', bootstrapScript(call)], timeoutMs: BOOTSTRAP_TIMEOUT_MS },
    { idempotencyKey: call.idempotencyKey, signal: call.signal },
  );
  const match = /^innkeeper-bootstrap(.*)$/m.exec(result.stdout);
  const identity = identityOf(result);
  if (/^innkeeper-empty-home$/m.test(result.stdout)) return { ...identity, missing: names, isHomeEmpty: true };
  if (match === null) return { ...identity, missing: names }; // Cut short: nothing is certain to be there.
  return { ...identity, missing: (match[1] ?? '').split(' ').filter((name) => names.includes(name)) };
}
