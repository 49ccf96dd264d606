/** Where an operator sees a lane: its page in the Temporal UI. */
export function laneUrls({
  temporalUiUrl,
  namespace,
}: {
  /** undefined: the deployment names no UI. */
  readonly temporalUiUrl: string | undefined;
  readonly namespace: string;
}): (workflowId: string) => string | null {
  if (temporalUiUrl === undefined) return () => null;
  const base = `${temporalUiUrl.replace(/\/+$/, '')}/namespaces/${encodeURIComponent(namespace)}/workflows`;
  return (workflowId) => `${base}/${encodeURIComponent(workflowId)}`;
}
