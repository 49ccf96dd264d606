/** An answer's text with its little formatting, as elements made here: no HTML of the model's, and addresses are text. */
import { toFormatted, type FormattedBlock, type Span } from '../text/formatted.js';

export function Formatted({ text }: { readonly text: string }) {
  return (
    <div class="said" dir="auto">
      {toFormatted(text).map((block, place) => (
        <BlockView key={place} block={block} />
      ))}
    </div>
  );
}

function BlockView({ block }: { readonly block: FormattedBlock }) {
  switch (block.kind) {
    case 'code':
      return (
        <pre
          class="code"
          tabIndex={0}
          role="group"
          aria-label={`Code${block.language === '' ? '' : ` in ${block.language}`}`}
        >
          {block.text}
        </pre>
      );
    case 'heading':
      return (
        <p class="heading">
          <Spans spans={block.spans} />
        </p>
      );
    case 'list': {
      const items = block.items.map((spans, place) => (
        <li key={place}>
          <Spans spans={spans} />
        </li>
      ));
      return block.start === null ? <ul>{items}</ul> : <ol start={block.start}>{items}</ol>;
    }
    case 'paragraph':
      return (
        <p>
          <Spans spans={block.spans} />
        </p>
      );
  }
}

function Spans({ spans }: { readonly spans: readonly Span[] }) {
  return (
    <>
      {spans.map(({ kind, text }, place) => {
        if (kind === 'code') return <code key={place}>{text}</code>;
        return kind === 'bold' ? <b key={place}>{text}</b> : text;
      })}
    </>
  );
}
