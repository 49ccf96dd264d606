/** The terminal of the plain handler: a shell behind a WebSocket; a mark behind each command says where its output ends. */
import { randomUUID } from 'node:crypto';
import { WebSocket } from 'ws';

const CTRL_C = '\u0003';

interface Waiting {
  readonly pattern: RegExp;
  resolve(match: RegExpExecArray): void;
  reject(error: Error): void;
}

export class CookbookTerminal {
  readonly #socket: WebSocket;
  #text = '';
  #waiting: Waiting | undefined;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as { type: string; data?: string };
      if (frame.type === 'output') this.#take(Buffer.from(frame.data ?? '', 'base64').toString());
    });
    // `close` follows, and tells whoever waits.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#waiting?.reject(new Error('the terminal was closed')));
  }

  /** Opens the stream and makes the shell a quiet one: no echo, no prompt. */
  static async open(streamUrl: string): Promise<CookbookTerminal> {
    const socket = new WebSocket(streamUrl, { perMessageDeflate: false });
    const terminal = new CookbookTerminal(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    const mark = randomUUID();
    const isQuiet = terminal.#waitFor(new RegExp(`ready ${mark}\r?\n`));
    terminal.#type(`unset HISTFILE; stty -echo; PS1= PS2=; printf 'ready %s\\n' ${mark}\n`);
    await isQuiet;
    return terminal;
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  async run(command: string): Promise<{ output: string; exitCode: number }> {
    const mark = randomUUID();
    const end = this.#waitFor(new RegExp(`([^]*)\n${mark} (\\d+)\r?\n`));
    this.#type(`${command}\nprintf '\\n%s %s\\n' ${mark} "$?"\n`);
    const [, output = '', exitCode] = await end;
    return { output: output.replaceAll('\r\n', '\n').trimEnd(), exitCode: Number(exitCode) };
  }

  /** Ctrl-C, which is all that this handler knows of cancelling: the command under way is given up. */
  interrupt(): void {
    this.#type(CTRL_C);
    this.#waiting?.reject(new Error('interrupted'));
    this.#waiting = undefined;
  }

  close(): void {
    this.#socket.close();
  }

  #type(text: string): void {
    this.#socket.send(JSON.stringify({ type: 'input', data: Buffer.from(text).toString('base64') }));
  }

  #waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    this.#text = '';
    return new Promise((resolve, reject) => {
      this.#waiting = { pattern, resolve, reject };
    });
  }

  #take(text: string): void {
    this.#text += text;
    const match = this.#waiting?.pattern.exec(this.#text);
    if (match === null || match === undefined) return;
    this.#waiting?.resolve(match);
    this.#waiting = undefined;
  }
}
