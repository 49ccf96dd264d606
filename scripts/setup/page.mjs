/**
 * dist/web/: the chat page, bundled from web/. Names change with the content, so that a browser may keep them for ever; what is sent
 * often lies gzipped beside. What the bundle is made of is checked here: of the rest of the project only what loads in a browser.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ROOT } from './paths.mjs';

/** Types and names, and the filters of hostile output. */
const ALLOWED = [
  /^web\//,
  /^src\/contracts\/[\w-]+\.ts$/,
  /^src\/guest\/(colour-text|strip-control)\.ts$/,
  /^node_modules\/(preact|@preact\/signals(-core)?|@xterm\/(xterm|addon-fit)|eventsource-parser)\//,
];
const ENTRIES = { page: 'web/main.tsx', style: 'web/style/page.css', icon: 'web/icon.svg' };

/**
 * @param {string} folder where to, made where missing
 * @param {Record<string, string>} [entries] for the test of what is refused
 */
export async function buildPage(folder, entries = ENTRIES) {
  const { build } = await import('esbuild');
  const assets = join(folder, 'assets');
  const { metafile, outputFiles } = await build({
    absWorkingDir: ROOT,
    entryPoints: entries,
    entryNames: '[name]-[hash]',
    outdir: assets,
    loader: { '.svg': 'copy' },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    // By the names under which files are found: a package may be a link to where it lies.
    preserveSymlinks: true,
    target: 'es2022',
    tsconfig: 'web/tsconfig.json',
    metafile: true,
    write: false,
    logLevel: 'silent',
  });
  const strays = Object.keys(metafile.inputs).filter((path) => !ALLOWED.some((allowed) => allowed.test(path)));
  if (strays.length > 0) throw new Error(`The page may not be made of ${strays.join(', ')}.`);
  mkdirSync(assets, { recursive: true });
  for (const { path, contents } of outputFiles) writeWithGzip(path, contents);
  writeWithGzip(join(folder, 'index.html'), Buffer.from(indexOf(outputFiles.map(({ path }) => basename(path)))));
}

/** @param {readonly string[]} names of the assets */
function indexOf(names) {
  const template = readFileSync(join(ROOT, 'web', 'index.html'), 'utf8');
  return template.replace(/\{\{(\w+)\}\}/g, (_, entry) => {
    const name = names.find((each) => each.startsWith(`${entry}-`));
    if (name === undefined) throw new Error(`The page has no ${entry}.`);
    return name;
  });
}

/** @param {string} path @param {Uint8Array} contents */
function writeWithGzip(path, contents) {
  writeFileSync(path, contents);
  writeFileSync(`${path}.gz`, gzipSync(contents, { level: 9 }));
}
