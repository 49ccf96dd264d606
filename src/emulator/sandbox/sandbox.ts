/**
 * One running sandbox: a bubblewrap process tree with our init inside, and channels to the commands and terminals that
 * run in it. It knows no machine, no API and no policy.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Duplex, Readable } from 'node:stream';
import { CHANNELS_PER_MACHINE_MAX, SANDBOX_BOOT_TIMEOUT_MS, SANDBOX_EXIT_TIMEOUT_MS } from '../constants.js';
import { SANDBOX_STDERR_BYTES_MAX } from '../constants.js';
import type { Guardian } from './guardian.js';
import { planLaunch, type LaunchRequest } from './launch.js';
import { encodeFrame, encodeWords, FrameDecoder, FromInit, ToInit, type Frame } from './protocol.js';

/** What a channel's owner hears. `onClosed` comes last, exactly once. */
export interface ChannelEvents {
  onStarted?(guestPid: number): void;
  onData(stream: 'stdout' | 'stderr', bytes: Buffer): void;
  /** Wait status as the kernel gives it. Absent when the command never started or the sandbox died. */
  onClosed(end: ChannelEnd): void;
}

export type ChannelEnd =
  | { kind: 'exited'; exitCode: number }
  | { kind: 'signalled'; signal: number }
  | { kind: 'not_started'; stage: string; errno: number; message: string }
  | { kind: 'sandbox_gone' };

export interface CommandRequest {
  argv: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string>>;
}

interface Channel {
  events: ChannelEvents;
  status: number | undefined;
}

const CONTROL_FD = 3;
const INFO_FD = 4;

export class SandboxBootError extends Error {}

export class Sandbox {
  /** Pid of process 1 as the host sees it. */
  initPid = 0;
  readonly exited: Promise<void>;
  #child: ChildProcess;
  #control: Duplex;
  #decoder = new FrameDecoder();
  #channels = new Map<number, Channel>();
  #nextChannel = 1;
  #isGone = false;
  #stderr = '';
  #booted: () => void = () => undefined;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#control = child.stdio[CONTROL_FD] as Duplex;
    this.#control.on('data', (bytes: Buffer) => {
      for (const frame of this.#decoder.push(bytes)) this.#receive(frame);
    });
    // A broken control socket means that process 1 died; `exit` reports it.
    this.#control.on('error', () => undefined);
    child.stderr?.on('data', (bytes: Buffer) => {
      if (this.#stderr.length < SANDBOX_STDERR_BYTES_MAX) this.#stderr += bytes.toString();
    });
    this.exited = new Promise((resolve) => {
      const finish = (): void => {
        this.#gone();
        resolve();
      };
      child.once('exit', finish);
      child.once('error', (error) => {
        this.#stderr += error.message;
        finish();
      });
    });
  }

  /** Starts a sandbox and resolves once its init answers. Throws SandboxBootError with bubblewrap's own words. */
  static async boot(request: LaunchRequest, uid: number | undefined, guardian: Guardian): Promise<Sandbox> {
    const plan = planLaunch(request, uid, INFO_FD);
    const child = spawn(plan.file, plan.args, {
      cwd: '/',
      // Its own session: Ctrl-C in the emulator's terminal must not reach guests before `close()` does.
      detached: true,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...guardian.environment },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
      ...(plan.spawnUid === undefined ? {} : { uid: plan.spawnUid, gid: plan.spawnUid }),
    });
    const sandbox = new Sandbox(child);
    const info = readInfo(child.stdio[INFO_FD] as Readable);
    let timer: NodeJS.Timeout | undefined;
    const outcome = await Promise.race([
      new Promise<'booted'>((resolve) => (sandbox.#booted = () => resolve('booted'))),
      sandbox.exited.then(() => 'exited' as const),
      new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), SANDBOX_BOOT_TIMEOUT_MS))),
    ]);
    clearTimeout(timer);
    if (outcome !== 'booted') {
      await sandbox.kill();
      throw new SandboxBootError(`The sandbox did not start (${outcome}): ${sandbox.#stderr.trim() || 'no message'}`);
    }
    sandbox.initPid = await info;
    return sandbox;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  startCommand(request: CommandRequest, stdin: string | undefined, events: ChannelEvents): number {
    const id = this.#open(events, ToInit.exec, request, [stdin === undefined ? '' : '1', '']);
    if (stdin !== undefined) {
      if (stdin.length > 0) this.#send(ToInit.input, id, stdin);
      this.#send(ToInit.closeInput, id);
    }
    return id;
  }

  startTerminal(request: CommandRequest, columns: number, rows: number, events: ChannelEvents): number {
    return this.#open(events, ToInit.terminal, request, [String(columns), String(rows)]);
  }

  write(channel: number, bytes: Buffer): void {
    this.#send(ToInit.input, channel, bytes);
  }

  resize(channel: number, columns: number, rows: number): void {
    this.#send(ToInit.resize, channel, `${columns} ${rows}`);
  }

  pause(channel: number, isPaused: boolean): void {
    this.#send(isPaused ? ToInit.pause : ToInit.resume, channel);
  }

  signalGroup(channel: number, signal: 'KILL' | 'TERM' | 'HUP'): void {
    this.#send(ToInit.signalGroup, channel, signal);
  }

  /** Closes our ends of a channel whose command is dead but whose pipes are still held by others. */
  detach(channel: number): void {
    this.#send(ToInit.detach, channel);
  }

  signalAll(signal: 'KILL' | 'STOP' | 'CONT'): void {
    this.#send(ToInit.signalAll, 0, signal);
  }

  /** Ends process 1 and with it everything inside; resolves when nothing of it is left. */
  async kill(): Promise<void> {
    if (!this.#isGone) {
      this.#send(ToInit.quit, 0);
      this.#control.end();
      const timer = setTimeout(() => {
        this.#child.kill('SIGKILL');
        if (this.initPid > 0) killQuietly(this.initPid);
      }, SANDBOX_EXIT_TIMEOUT_MS);
      await this.exited;
      clearTimeout(timer);
    }
  }

  #open(events: ChannelEvents, type: string, request: CommandRequest, options: readonly [string, string]): number {
    const id = this.#nextChannel++;
    if (this.#isGone || this.#channels.size >= CHANNELS_PER_MACHINE_MAX) {
      const end: ChannelEnd = this.#isGone
        ? { kind: 'sandbox_gone' }
        : { kind: 'not_started', stage: 'limit', errno: 11, message: 'too many processes' };
      queueMicrotask(() => events.onClosed(end));
      return id;
    }
    this.#channels.set(id, { events, status: undefined });
    const env = Object.entries(request.env).map(([name, value]) => `${name}=${value}`);
    const words = [request.cwd, ...options, String(request.argv.length), ...request.argv, ...env];
    this.#send(type, id, encodeWords(words));
    return id;
  }

  #send(type: string, channel: number, payload: Buffer | string = ''): void {
    if (!this.#isGone && this.#control.writable) this.#control.write(encodeFrame(type, channel, payload));
  }

  #receive(frame: Frame): void {
    if (frame.type === FromInit.booted) return this.#booted();
    const channel = this.#channels.get(frame.channel);
    if (!channel) return;
    switch (frame.type) {
      case FromInit.started:
        return channel.events.onStarted?.(frame.payload.readUInt32BE(0));
      case FromInit.stdout:
        return channel.events.onData('stdout', frame.payload);
      case FromInit.stderr:
        return channel.events.onData('stderr', frame.payload);
      case FromInit.exited:
        channel.status = frame.payload.readUInt32BE(0);
        return;
      case FromInit.failed: {
        const [stage = '', errno = '0', message = ''] = frame.payload.toString().split('\0');
        return this.#close(frame.channel, { kind: 'not_started', stage, errno: Number(errno), message });
      }
      case FromInit.closed:
        return this.#close(frame.channel, toEnd(channel.status));
    }
  }

  #close(id: number, end: ChannelEnd): void {
    const channel = this.#channels.get(id);
    this.#channels.delete(id);
    channel?.events.onClosed(end);
  }

  #gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#control.destroy();
    for (const [id, channel] of this.#channels) {
      this.#close(id, channel.status === undefined ? { kind: 'sandbox_gone' } : toEnd(channel.status));
    }
  }
}

function toEnd(status: number | undefined): ChannelEnd {
  if (status === undefined) return { kind: 'sandbox_gone' };
  const signal = status & 0x7f;
  return signal === 0 ? { kind: 'exited', exitCode: (status >> 8) & 0xff } : { kind: 'signalled', signal };
}

async function readInfo(stream: Readable): Promise<number> {
  let text = '';
  for await (const bytes of stream) text += String(bytes);
  const match = /"child-pid":\s*(\d+)/.exec(text);
  return match ? Number(match[1]) : 0;
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Already gone, which is what was wanted.
  }
}
