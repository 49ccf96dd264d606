/** Frames as the runner writes them, for tests of who reads them. */

/** `fields` as `key=value` separated by spaces, without those that every frame has. */
export function frameOf(
  tag: string,
  kind: string,
  name: string,
  fields: string,
  body: Buffer = Buffer.alloc(0),
): Buffer {
  const header = `${kind} ${name} ${fields === '' ? '' : `${fields} `}body=${body.length} enc=raw of=${name} `;
  return Buffer.concat([
    Buffer.from(`\u001e${tag} ${Buffer.byteLength(header)} ${header}\u001f`),
    body,
    Buffer.from(`\u001d${tag}\n`),
  ]);
}
