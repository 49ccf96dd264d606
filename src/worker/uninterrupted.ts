/**
 * Workflow code is never interrupted. By default the SDK interrupts a call into it after 5 s, which is what a process that was frozen for
 * longer meets as it thaws; and since all workflows of a worker share one V8 context, what the interrupted one had yet to do is then
 * done in the name of the next (measured, SDK 1.24: docs/adr/0017). The SDK takes this option without naming it in its types;
 * test/workflow/uninterrupted.test.ts fails where it no longer does.
 */
export const uninterrupted: { readonly isolateExecutionTimeout: number } = {
  /** ms; the longest that Node takes, 49 days. */
  isolateExecutionTimeout: 2 ** 32 - 1,
};
