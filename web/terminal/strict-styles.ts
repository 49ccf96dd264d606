/**
 * xterm.js writes its rules into `<style>` elements, which the page's policy forbids, as it must: what could write one of those could
 * restyle the page. Constructed sheets are made by scripts only, so the policy lets them be; while the terminal opens, its elements
 * are such sheets in disguise.
 */
export function withStrictStyles(open: () => void): void {
  const maker = document as { createElement(name: string, options?: ElementCreationOptions): HTMLElement };
  const create = maker.createElement.bind(document);
  maker.createElement = (name, options) => (name === 'style' ? createSheet(create('span')) : create(name, options));
  try {
    open();
  } finally {
    // The document's own method, which lies on its prototype, shows again.
    Reflect.deleteProperty(document, 'createElement');
  }
}

/** An element whose text is a sheet, as long as it is not removed. */
function createSheet(element: HTMLElement): HTMLElement {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  element.hidden = true;
  Object.defineProperty(element, 'textContent', {
    set(rules: string) {
      sheet.replaceSync(rules);
    },
  });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}
