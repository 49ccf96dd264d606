/** The emulator's admin routes, as tests use them: its ledger is the outside record that promises are checked against. */

export interface LedgerEntry {
  readonly seq: number;
  readonly kind: string;
  readonly machineId?: string;
  readonly [field: string]: unknown;
}

export class EmulatorAdmin {
  constructor(
    readonly url: string,
    readonly apiKey: string,
  ) {}

  async ledger(after = 0): Promise<LedgerEntry[]> {
    const { entries } = await this.get<{ entries: LedgerEntry[] }>(`/_emulator/ledger?after=${after}`);
    return entries;
  }

  async machines(): Promise<{ readonly machineId: string; readonly [field: string]: unknown }[]> {
    const { machines } = await this.get<{ machines: { machineId: string }[] }>('/_emulator/machines');
    return machines;
  }

  get<T>(path: string): Promise<T> {
    return this.call<T>('GET', path);
  }

  async call<T>(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T> {
    const response = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${this.apiKey}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }
}
