/** Bytes as a download of the browser's. Never shown: their type says nothing. */

/** The browser copies them meanwhile. */
const KEPT_MS = 60_000;

export function save(bytes: Blob, name: string): void {
  const url = URL.createObjectURL(bytes);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}
