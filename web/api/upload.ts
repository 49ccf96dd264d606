/** One file to the gateway, with its progress, which fetch does not tell. What goes wrong is a problem as everywhere. */
import { toProblem, unreachable, type HttpOptions } from './http.js';
import type { SendFile } from './innkeeper.js';

export function createSendFile({ base, secret, onRefused }: HttpOptions): SendFile {
  return (path, { body, headers = {}, onProgress, signal }) =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const request = new XMLHttpRequest();
      const onAbort = (): void => request.abort();
      request.open('PUT', base + path);
      request.responseType = 'blob';
      const all = {
        authorization: `Bearer ${secret}`,
        'content-type': 'application/octet-stream',
        ...headers,
      };
      for (const [name, value] of Object.entries(all)) request.setRequestHeader(name, value);
      const on = (name: string, listener: () => void): void => request.addEventListener(name, listener);
      request.upload.addEventListener('progress', ({ loaded, total }) => onProgress(total === 0 ? 1 : loaded / total));
      on('abort', () => reject(signal.reason as Error));
      on('error', () => reject(unreachable(undefined)));
      on('load', () => void settle(request).then(resolve, reject));
      on('loadend', () => signal.removeEventListener('abort', onAbort));
      signal.addEventListener('abort', onAbort);
      request.send(body);
    });

  async function settle(request: XMLHttpRequest): Promise<void> {
    const { status } = request;
    if (status >= 200 && status < 300) return;
    const retryAfter = request.getResponseHeader('retry-after');
    const problem = await toProblem(
      new Response(request.response as Blob, {
        status,
        ...(retryAfter === null ? {} : { headers: { 'retry-after': retryAfter } }),
      }),
    );
    if (problem.status === 401) onRefused(problem);
    throw problem;
  }
}
