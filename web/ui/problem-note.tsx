/** What went wrong, and what to do about it. */
import type { Problem } from '../api/http.js';

export function ProblemNote({ problem }: { readonly problem: Problem | null }) {
  if (problem === null) return null;
  return (
    <p class="problem" role="alert">
      {problem.message} {problem.advice} <code>{problem.code}</code>
    </p>
  );
}
