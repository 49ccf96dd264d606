/** Opens a terminal's WebSocket: where to, with which headers, and what an upgrade that was refused means. */
import { WebSocket } from 'ws';
import { InnkeeperError } from '../../contracts/errors.js';
import { withDeadline } from './deadline.js';
import type { Transport } from './transport.js';

/** Largest frame taken from a server. */
const FRAME_BYTES_MAX = 16 * 1024 * 1024;
const REFUSAL_BYTES_MAX = 4 * 1024;

const NO_ADDRESS = new URL('about:blank');

export interface StreamAddress {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * `streamUrl` where the provider gave one, else the path on the API's own host. Our key goes only to the API's own host, and
 * never over a plain connection where the API itself is reached over TLS.
 */
export function streamAddress(transport: Transport, streamUrl: unknown, path: string): StreamAddress {
  const root = transport.baseUrl.href.replace(/\/+$/, '');
  const given = typeof streamUrl === 'string' && streamUrl !== '' ? streamUrl : root + path;
  const url = URL.canParse(given, transport.baseUrl.href) ? new URL(given, transport.baseUrl) : NO_ADDRESS;
  url.hash = ''; // A WebSocket's address must have none.
  if (url.protocol === 'http:') url.protocol = 'ws:';
  if (url.protocol === 'https:') url.protocol = 'wss:';
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') {
    throw new InnkeeperError(
      'GUEST_UNREACHABLE',
      'The machine provider named a terminal address that is not a WebSocket.',
    );
  }
  const isSafe = transport.baseUrl.protocol !== 'https:' || url.protocol === 'wss:';
  return { url, headers: isSafe && url.host === transport.baseUrl.host ? transport.authHeaders() : {} };
}

/**
 * Resolves with the open socket, or 'not_ready' where the server says that it is too early.
 * @throws GUEST_UNREACHABLE, PROVIDER_UNAUTHORIZED, PROVIDER_UNAVAILABLE; the signal's reason when aborted
 */
export async function openSocket(options: {
  readonly address: StreamAddress;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly redact: (text: string) => string;
}): Promise<WebSocket | 'not_ready'> {
  options.signal?.throwIfAborted();
  const deadline = withDeadline(options.signal, options.timeoutMs);
  const socket = new WebSocket(options.address.url, {
    headers: { ...options.address.headers },
    followRedirects: false,
    perMessageDeflate: false,
    maxPayload: FRAME_BYTES_MAX,
  });
  try {
    return await new Promise<WebSocket | 'not_ready'>((resolve, reject) => {
      socket.once('open', () => {
        socket.pause(); // Nothing may arrive before the stream listens, and resumes it.
        resolve(socket);
      });
      socket.once('unexpected-response', (request, response) => {
        const status = response.statusCode ?? 0;
        let text = '';
        const settle = (): void => {
          request.destroy();
          if (status === 409 && !/"closed"/.test(text)) resolve('not_ready');
          else reject(refusalError(status, options.redact(text)));
        };
        response.setEncoding('utf8');
        response.on('data', (piece: string) => {
          text += piece;
          if (text.length > REFUSAL_BYTES_MAX) settle();
        });
        response.once('end', settle);
        response.once('error', settle);
      });
      // Stays, so that a late error of a socket that was given up is nobody's crash.
      socket.on('error', (error) => {
        reject(
          new InnkeeperError(
            'PROVIDER_UNAVAILABLE',
            `The terminal could not be reached: ${options.redact(error.message)}`,
          ),
        );
      });
      deadline.signal.addEventListener('abort', () => {
        reject(
          deadline.expired()
            ? new InnkeeperError('PROVIDER_UNAVAILABLE', 'The terminal did not open in time.')
            : (options.signal?.reason as Error),
        );
        socket.terminate();
      });
    });
  } finally {
    deadline.release();
  }
}

function refusalError(status: number, words: string): InnkeeperError {
  const message = `The machine provider refused the terminal's stream with ${status}: ${words}`;
  if (status === 401 || status === 403) return new InnkeeperError('PROVIDER_UNAUTHORIZED', message);
  if (status === 429) return new InnkeeperError('PROVIDER_RATE_LIMITED', message);
  if (status >= 500) return new InnkeeperError('PROVIDER_UNAVAILABLE', message);
  return new InnkeeperError('GUEST_UNREACHABLE', message);
}
