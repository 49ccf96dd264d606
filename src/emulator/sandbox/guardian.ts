/**
 * A shell beside the emulator that outlives it by a second. When the emulator is killed while a sandbox is being started,
 * bubblewrap's outer process dies with it, but its child may not have asked for that yet and would wait for ever. The guardian's
 * input ends with the emulator; it then kills whatever still carries the emulator's mark in its environment. Guests never
 * carry it: theirs is made from nothing.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';

const ORDERLY_END = 'done';

const SCRIPT = `
while read -r line; do [ "$line" = ${ORDERLY_END} ] && exit 0; done
for pass in 1 2 3 4 5; do
  for file in /proc/[0-9]*/environ; do
    pid=\${file#/proc/}
    if grep -aqsF -- "$1" "$file"; then kill -s KILL "\${pid%/environ}"; fi
  done
  sleep 0.2
done
`;

export class Guardian {
  /** To be set in the environment of every process that starts a sandbox. */
  readonly environment: Readonly<Record<string, string>>;
  #child: ChildProcess;
  #ended: Promise<void>;

  constructor() {
    const mark = randomUUID();
    this.environment = { INNKEEPER_EMULATOR_MARK: mark };
    this.#child = spawn('/bin/sh', ['-c', SCRIPT, 'sh', mark], {
      // A session of its own, so that what kills the emulator's process group does not kill its guardian.
      detached: true,
      cwd: '/',
      env: { PATH: '/usr/bin:/bin' },
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    // A guardian that was killed guards no more; the emulator goes on.
    this.#child.stdin?.on('error', () => undefined);
    this.#ended = new Promise((resolve) => {
      this.#child.once('exit', () => resolve());
      this.#child.once('error', () => resolve());
    });
  }

  async close(): Promise<void> {
    this.#child.stdin?.end(`${ORDERLY_END}\n`);
    await this.#ended;
  }
}
