/**
 * The machine's keyboard: it is taken, typed on, and handed back. A machine that sleeps is woken for it; a connection that breaks comes
 * back to its shell, after a reload of the page too. Knows no screen: whoever shows the shell listens.
 */
import { signal, type ReadonlySignal } from '@preact/signals';
import { TERMINAL_GRACE_MS, TERMINAL_PASTE_FRAME_BYTES } from '../../src/contracts/limits.js';
import type { TerminalClientFrame, TerminalServerFrame } from '../../src/contracts/terminal.js';
import { asProblem, Problem } from '../api/http.js';
import type { Api } from '../api/innkeeper.js';
import type { TabStorage } from '../credential.js';

/** `waking`: the machine is; `broken`: the connection is, and is opened again. */
export type KeyboardState = 'free' | 'waking' | 'opening' | 'held' | 'broken' | 'leaving';

export interface Keyboard {
  readonly state: ReadonlySignal<KeyboardState>;
  /** Until when it is theirs, at least; ISO 8601. */
  readonly until: ReadonlySignal<string | null>;
  /** Why it could not be had, or was lost. */
  readonly problem: ReadonlySignal<Problem | null>;
  take(): void;
  /** Takes up again what a reload of the page has left. */
  resume(): void;
  handBack(): void;
  type(text: string): void;
  resize(size: Size): void;
  /** One listener, who is told what came before too. Answers how it ends. */
  listen(onOutput: (bytes: Uint8Array) => void): () => void;
  refusePaste(): void;
  close(): void;
}

interface Size {
  readonly columns: number;
  readonly rows: number;
}

export interface KeyboardOptions {
  readonly api: Api;
  readonly userId: string;
  readonly storage: TabStorage;
  say(words: string): void;
}

const RETRY_MS = 1_000;
const WAKE_MS_MAX = 180_000;
/** Of output that nobody listens to yet. */
const UNHEARD_BYTES_MAX = 1024 * 1024;

export function openKeyboard({ api, userId, storage, say }: KeyboardOptions): Keyboard {
  const state = signal<KeyboardState>('free');
  const until = signal<string | null>(null);
  const problem = signal<Problem | null>(null);
  const stored = `innkeeper.terminal.${userId}`;
  let size: Size = { columns: 100, rows: 30 };
  let socket: WebSocket | undefined;
  let refusal: Problem | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let giveUpAt = 0;
  let listener: ((bytes: Uint8Array) => void) | undefined;
  let unheard: Uint8Array[] = [];
  let unheardBytes = 0;

  function remember(leaseId: string | null): void {
    try {
      if (leaseId === null) storage.removeItem(stored);
      else storage.setItem(stored, leaseId);
    } catch {
      // Storage is off: a reload begins anew.
    }
  }

  function lease(): string | null {
    try {
      return storage.getItem(stored);
    } catch {
      return null;
    }
  }

  function connect(): void {
    refusal = undefined;
    try {
      const opened = api.openTerminal(userId, { ...size, lease: lease() });
      socket = opened;
      opened.addEventListener('message', ({ data }: MessageEvent<ArrayBuffer | string>) => {
        if (opened !== socket) return;
        if (typeof data === 'string') hear(JSON.parse(data) as TerminalServerFrame);
        else show(new Uint8Array(data));
      });
      opened.addEventListener('close', () => {
        if (opened === socket) lost();
      });
    } catch (reason) {
      free(asProblem(reason));
    }
  }

  function hear(frame: TerminalServerFrame): void {
    switch (frame.type) {
      case 'taken':
        remember(frame.leaseId);
        // That it was taken, and handed back, the events tell.
        if (state.value === 'broken' && !frame.isResumed) say('This is a new shell, where the last one was left.');
        state.value = 'held';
        until.value = frame.until;
        send({ type: 'resize', ...size });
        break;
      case 'lease':
        until.value = frame.until;
        break;
      case 'handed_back':
        free(null);
        break;
      case 'error':
        refusal = new Problem({ code: frame.code, status: 0, detail: frame.message, advice: frame.advice });
        break;
    }
  }

  /** The connection has ended, for whatever reason. */
  function lost(): void {
    socket = undefined;
    const was = state.value;
    if (was === 'free') return;
    if (refusal?.code === 'MACHINE_ASLEEP' && (was === 'opening' || was === 'waking')) return wake();
    if (was === 'held') giveUpAt = Date.now() + TERMINAL_GRACE_MS;
    const mayRetry =
      (was === 'held' || was === 'broken') && (refusal === undefined || refusal.code === 'INVALID_INPUT');
    if (!mayRetry || Date.now() > giveUpAt) return free(was === 'leaving' ? null : (refusal ?? asProblem(undefined)));
    if (was === 'held') say('The connection to the terminal broke, and is opened again.');
    state.value = 'broken';
    retry = setTimeout(connect, RETRY_MS);
  }

  function wake(): void {
    if (state.value === 'opening') {
      giveUpAt = Date.now() + WAKE_MS_MAX;
      state.value = 'waking';
      say('The machine is being woken.');
      api.askMachine(userId, 'wake').catch((reason: unknown) => free(asProblem(reason)));
    }
    if (Date.now() > giveUpAt) free(refusal ?? null);
    else retry = setTimeout(connect, RETRY_MS);
  }

  function free(why: Problem | null): void {
    clearTimeout(retry);
    remember(null);
    state.value = 'free';
    until.value = null;
    problem.value = why;
    unheard = [];
    unheardBytes = 0;
    socket?.close();
    socket = undefined;
  }

  function show(bytes: Uint8Array): void {
    if (listener !== undefined) return listener(bytes);
    unheard.push(bytes);
    unheardBytes += bytes.length;
    while (unheardBytes > UNHEARD_BYTES_MAX) unheardBytes -= unheard.shift()?.length ?? 0;
  }

  function send(frame: TerminalClientFrame | Uint8Array<ArrayBuffer>): void {
    if (socket?.readyState !== WebSocket.OPEN) return;
    socket.send(frame instanceof Uint8Array ? frame : JSON.stringify(frame));
  }

  function begin(): void {
    if (state.value !== 'free') return;
    problem.value = null;
    state.value = 'opening';
    connect();
  }

  return {
    ...{ state, until, problem },
    take() {
      if (state.value === 'free') remember(null);
      begin();
    },
    resume() {
      if (lease() !== null) begin();
    },
    handBack() {
      if (state.value === 'held') {
        state.value = 'leaving';
        send({ type: 'hand_back' });
      } else if (state.value !== 'leaving') free(null);
    },
    type(text) {
      if (state.value !== 'held') return;
      const bytes = new TextEncoder().encode(text);
      for (let at = 0; at < bytes.length; at += TERMINAL_PASTE_FRAME_BYTES) {
        send(bytes.slice(at, at + TERMINAL_PASTE_FRAME_BYTES));
      }
    },
    resize(next) {
      size = next;
      if (state.value === 'held') send({ type: 'resize', ...next });
    },
    listen(onOutput) {
      listener = onOutput;
      const waiting = unheard;
      unheard = [];
      unheardBytes = 0;
      for (const bytes of waiting) onOutput(bytes);
      return () => (listener = undefined);
    },
    refusePaste() {
      const advice = 'Put it into a file of the machine instead.';
      problem.value = new Problem({ code: 'INVALID_INPUT', status: 0, detail: 'The paste is too long.', advice });
    },
    close() {
      // It is handed back after a while, or found again by whoever comes back.
      clearTimeout(retry);
      const open = socket;
      socket = undefined;
      open?.close();
    },
  };
}
