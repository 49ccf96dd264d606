/** Metrics as Prometheus reads them: a test looks at what is served, never at a registry. */

export interface Figures {
  /** As served. */
  readonly text: string;
  /** Of the one series with this name and exactly these labels; undefined: there is none. */
  of(name: string, labels?: Readonly<Record<string, string>>): number | undefined;
  /** Sum over all series of the name that have these labels, whatever else they have. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number;
}

interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$/;
const LABEL = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g;

export async function scrape(url: string): Promise<Figures> {
  const answer = await fetch(url);
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${text}`);
  const all = text.split('\n').flatMap(parse);
  const having = (name: string, labels: Readonly<Record<string, string>>): Series[] =>
    all.filter(
      (series) =>
        series.name === name && Object.entries(labels).every(([label, value]) => series.labels[label] === value),
    );
  return {
    text,
    of: (name, labels = {}) =>
      having(name, labels).find((series) => Object.keys(series.labels).length === Object.keys(labels).length)?.value,
    sum: (name, labels = {}) => having(name, labels).reduce((sum, { value }) => sum + value, 0),
  };
}

function parse(line: string): Series[] {
  if (line === '' || line.startsWith('#')) return [];
  const [, name, labels = '', value] = LINE.exec(line) ?? [];
  if (name === undefined || value === undefined) throw new Error(`no line of metrics: ${line}`);
  const pairs = [...labels.matchAll(LABEL)].map(([, label = '', text = '']) => [label, text] as const);
  return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }];
}
