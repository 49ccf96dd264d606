/** Without a credential the page asks for a key. */
import { useSignal } from '@preact/signals';
import type { Problem } from '../api/http.js';
import { isSecret } from '../credential.js';
import { ProblemNote } from './problem-note.js';

interface KeyFormProps {
  /** Why the last one was not taken. */
  readonly refusal: Problem | null;
  readonly onKey: (secret: string) => void;
}

export function KeyForm({ refusal, onKey }: KeyFormProps) {
  const text = useSignal('');
  const isWrong = useSignal(false);

  function onSubmit(event: Event): void {
    event.preventDefault();
    const secret = text.value.trim();
    isWrong.value = !isSecret(secret);
    if (!isWrong.value) onKey(secret);
  }

  return (
    <main class="key-form">
      <h1>Innkeeper</h1>
      <p>This page needs a key of the deployment. It is kept in this tab only, and is gone when you close it.</p>
      <ProblemNote problem={refusal} />
      <form onSubmit={onSubmit}>
        <label for="key">API key</label>
        <input
          id="key"
          type="password"
          autocomplete="off"
          spellcheck={false}
          value={text.value}
          onInput={({ currentTarget }) => (text.value = currentTarget.value)}
          aria-invalid={isWrong.value}
          aria-describedby="key-help"
          autofocus
        />
        <button type="submit" class="main">
          Open
        </button>
      </form>
      {isWrong.value && <p role="alert">A key is one word, such as ik_….</p>}
      <p id="key-help" class="hint">
        <code>npm start</code> prints an address with its key. Of another deployment <code>innkeeper keys create</code>{' '}
        makes one; the scope <code>operator</code> lists all users.
      </p>
    </main>
  );
}
