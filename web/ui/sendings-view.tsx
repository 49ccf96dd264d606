/** Files on their way to the machine, and those whose name is taken. */
import type { Files, Sending } from '../room/files.js';
import { plainText } from '../text/plain.js';

export function SendingsView({ files }: { readonly files: Files }) {
  return (
    <ul class="sendings" aria-label="Uploads">
      {files.sendings.value.map((sending) => (
        <li key={sending.path}>
          {sending.share === null ? (
            <Taken sending={sending} onAnswer={(replaces) => void files.answer(sending.path, replaces)} />
          ) : (
            <label>
              {plainText(sending.file.name)}
              <progress max={1} value={sending.share} />
            </label>
          )}
        </li>
      ))}
    </ul>
  );
}

interface TakenProps {
  readonly sending: Sending;
  readonly onAnswer: (replaces: boolean) => void;
}

function Taken({ sending, onAnswer }: TakenProps) {
  const name = plainText(sending.file.name);
  return (
    <span class="doom" role="alert">
      <span>{name} is there already.</span>
      <button type="button" onClick={() => onAnswer(false)}>
        Keep the old {name}
      </button>
      <button type="button" class="danger" onClick={() => onAnswer(true)}>
        Replace {name}
      </button>
    </span>
  );
}
