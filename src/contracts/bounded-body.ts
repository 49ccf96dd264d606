/** Bounds what is read of a far side's answer. Pure; used by the machine and the model adapters. */

/**
 * The same response, whose body fails once it is longer than `bytesMax` (after decompression): whoever reads it whole would else
 * hold whatever a far side sends.
 */
export function boundBody(response: Response, bytesMax: number): Response {
  let bytes = 0;
  return throughBody(
    response,
    new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        bytes += piece.length;
        if (bytes > bytesMax) controller.error(new Error(`The answer is longer than ${bytesMax} bytes.`));
        else controller.enqueue(piece);
      },
    }),
  );
}

/** The same response with its body sent through `stream`. */
export function throughBody(response: Response, stream: TransformStream<Uint8Array, Uint8Array>): Response {
  if (response.body === null) return response;
  const { status, statusText, headers } = response;
  return new Response(response.body.pipeThrough(stream), { status, statusText, headers });
}
