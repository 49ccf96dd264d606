/** An emulator in this process with short delays, and a small client that speaks its wire by hand. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { v7 as uuidV7 } from 'uuid';
import { WebSocket } from 'ws';
import { startEmulator, type EmulatorOptions, type Profile, type RunningEmulator } from '../../src/emulator/index.js';
import { waitFor } from '../support/wait-for.js';

/** Documents differ by profile; tests look at single fields. */
export type Document = Readonly<Record<string, unknown>>;

export interface Answer {
  status: number;
  body: Document;
  headers: Headers;
}

export interface CallOptions {
  body?: unknown;
  key?: string;
  ifMatch?: string;
  headers?: Record<string, string>;
  /** Default: the emulator's. Null sends none. */
  apiKey?: string | null;
}

export const SIZES = { vcpu: 1, memory_mib: 2_048, storage_gib: 10 };
const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined };
const FAST = { createMs: 20, wakeMs: 5, sleepMs: 5, destroyMs: 5 };
const OVER = ['succeeded', 'failed', 'cancelled', 'expired'];

/** Compact UUIDv7, the form that every generation takes. */
export function newKey(): string {
  return uuidV7().replaceAll('-', '');
}

export class TestEmulator {
  private constructor(
    readonly running: RunningEmulator,
    readonly dataDir: string,
    readonly profile: Profile,
  ) {}

  static async start(profile: Profile = 'g2', options: Partial<EmulatorOptions> = {}): Promise<TestEmulator> {
    const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'innkeeper-emulator-'));
    const running = await startEmulator({ profile, dataDir, port: 0, log: SILENT, ...options });
    const emulator = new TestEmulator(running, dataDir, profile);
    await emulator.settings(FAST);
    return emulator;
  }

  /** Talks to an emulator that runs elsewhere. */
  static over(running: RunningEmulator, dataDir: string, profile: Profile): TestEmulator {
    return new TestEmulator(running, dataDir, profile);
  }

  /** Stops it and removes its data. */
  async stop(): Promise<void> {
    await this.running.close();
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  async call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    const { body, key = newKey(), ifMatch, apiKey = this.running.apiKey } = options;
    const response = await fetch(this.running.url + path, {
      method,
      headers: {
        ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }),
        ...(method === 'GET' || key === '' ? {} : { 'idempotency-key': key }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
        ...options.headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Document, headers: response.headers };
  }

  async admin(method: string, path: string, body?: unknown): Promise<Document> {
    const answer = await this.call(method, `/_emulator${path}`, body === undefined ? {} : { body });
    if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  settings(change: Record<string, unknown>): Promise<Document> {
    return this.admin('PUT', '/settings', change);
  }

  fault(kind: string, fields: Record<string, unknown> = {}): Promise<Document> {
    return this.admin('POST', '/faults', { kind, ...fields });
  }

  async ledger(kind?: string): Promise<Document[]> {
    const { entries } = (await this.admin('GET', '/ledger')) as { entries: Document[] };
    return kind === undefined ? entries : entries.filter((entry) => entry['kind'] === kind);
  }

  truth(machineId: string): Promise<Document> {
    return this.admin('GET', `/machines/${machineId}`);
  }

  /** Creates a machine and waits until it is usable. */
  async machine(): Promise<string> {
    const { status, body } = await this.call('POST', '/v1/machines', { body: SIZES });
    if (status !== 202) throw new Error(`create answered ${status}`);
    const id = String(body['machine_id']);
    await this.phase(id, 'running');
    return id;
  }

  async phase(machineId: string, phase: string): Promise<Document> {
    return waitFor(`${machineId} is ${phase}`, async () => {
      const truth = await this.truth(machineId);
      return truth['phase'] === phase && (phase !== 'running' || truth['isUsable']) ? truth : undefined;
    });
  }

  async revision(machineId: string): Promise<string> {
    return String((await this.truth(machineId))['revision']);
  }

  /** Sleep, wake or delete with the revision of this moment. */
  async change(machineId: string, verb: 'sleep' | 'wake' | 'delete'): Promise<Answer> {
    const ifMatch = await this.revision(machineId);
    if (verb === 'delete') return this.call('DELETE', `/v1/machines/${machineId}`, { ifMatch });
    return this.call('POST', `/v1/machines/${machineId}/${verb}`, { ifMatch });
  }

  /** Runs a command and waits for the end of its execution. */
  async exec(machineId: string, command: string[], extra: Record<string, unknown> = {}): Promise<Execution> {
    const path = `/v1/machines/${machineId}/executions`;
    const created = await this.call('POST', path, { body: { command, ...extra } });
    if (created.status !== 200) throw new Error(`execution: ${created.status} ${JSON.stringify(created.body)}`);
    return this.executionEnd(machineId, String(created.body['execution_id']));
  }

  async executionEnd(machineId: string, executionId: string): Promise<Execution> {
    const path = `/v1/machines/${machineId}/executions/${executionId}`;
    const document = await waitFor('the execution is over', async () => {
      const { body } = await this.call('GET', path);
      return OVER.includes(String(body['status'])) ? body : undefined;
    });
    const { body: output } = await this.call('GET', `${path}/output`);
    return { document, output };
  }

  async shell(machineId: string, script: string): Promise<string> {
    const { output } = await this.exec(machineId, ['/bin/bash', '-c', script]);
    return `${String(output['stdout'])}${String(output['stderr'])}`;
  }

  async terminal(machineId: string, extra: Record<string, unknown> = {}): Promise<Document> {
    const body = { width: 100, height: 30, ...extra };
    const answer = await this.call('POST', `/v1/machines/${machineId}/terminals`, { body });
    if (answer.status !== 200) throw new Error(`terminal: ${answer.status}`);
    return answer.body;
  }
}

export interface Execution {
  document: Document;
  output: Document;
}

/** A terminal's socket that remembers all it was sent. */
export class TerminalSocket {
  text = '';
  frames: { isBinary: boolean; data: string }[] = [];
  closeCode: number | undefined;
  readonly socket: WebSocket;

  constructor(url: string, headers: Record<string, string> = {}) {
    this.socket = new WebSocket(url, { headers, perMessageDeflate: false });
    this.socket.on('error', () => undefined);
    this.socket.on('close', (code) => (this.closeCode = code));
    this.socket.on('message', (data: Buffer, isBinary) => {
      this.frames.push({ isBinary, data: data.toString() });
      if (isBinary) this.text += data.toString();
      else {
        const frame = JSON.parse(data.toString()) as { type?: string; data?: string };
        if (frame.type === 'output') this.text += Buffer.from(frame.data ?? '', 'base64').toString();
      }
    });
  }

  async opened(): Promise<this> {
    if (this.socket.readyState === WebSocket.OPEN) return this;
    await new Promise((resolve, reject) => this.socket.once('open', resolve).once('error', reject));
    return this;
  }

  typeJ(text: string): void {
    this.socket.send(JSON.stringify({ type: 'input', data: Buffer.from(text).toString('base64') }));
  }

  typeD(text: string): void {
    this.socket.send(Buffer.from(text), { binary: true });
  }

  sees(text: string): Promise<boolean> {
    return waitFor(`the terminal shows ${text}`, () => this.text.includes(text));
  }

  closes(): Promise<number> {
    return waitFor('the socket closes', () => this.closeCode);
  }
}
