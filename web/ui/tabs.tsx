/** On a narrow screen one pane at a time, chosen by tabs. */
import { signal, type Signal } from '@preact/signals';

export type TabName = 'users' | 'talk' | 'machine';

const LABELS: Readonly<Record<TabName, string>> = { users: 'Users', talk: 'Chat', machine: 'Machine' };
const NARROW = matchMedia('(max-width: 899px)');

/** Whether the screen is. */
export const isNarrow: Signal<boolean> = signal(NARROW.matches);
NARROW.addEventListener('change', ({ matches }) => (isNarrow.value = matches));

export function Tabs({ names, selected }: { readonly names: readonly TabName[]; readonly selected: Signal<TabName> }) {
  function onKeyDown(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = names.at((names.indexOf(selected.value) + step) % names.length);
    if (next === undefined) return;
    selected.value = next;
    document.getElementById(`tab-${next}`)?.focus();
  }

  return (
    <div class="tabs" role="tablist" aria-label="Panes">
      {names.map((name) => (
        <button
          key={name}
          type="button"
          role="tab"
          id={`tab-${name}`}
          aria-controls={`pane-${name}`}
          aria-selected={selected.value === name}
          tabIndex={selected.value === name ? 0 : -1}
          onClick={() => (selected.value = name)}
          onKeyDown={onKeyDown}
        >
          {LABELS[name]}
        </button>
      ))}
    </div>
  );
}
