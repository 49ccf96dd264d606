/** Scripts behind `write_file` and `read_file`. They run in a subshell, so that nothing of them stays in the user's shell. */
import { MODEL_OUTPUT_BYTES_MAX } from '../contracts/limits.js';

/** Columns of a line of base64 in a script. */
const BASE64_COLUMNS = 1_000;
/** Bytes that `read_file` sends; the rest of what the model may be shown is for its note. */
const READ_BYTES_MAX = MODEL_OUTPUT_BYTES_MAX - 1_024;

/** Text as one word for the shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A path as the model means it: a leading tilde is the home directory, and a dash does not begin an option. */
function quotePath(path: string): string {
  if (path === '~') return '"$HOME"';
  if (path.startsWith('~/')) return `"$HOME"/${quote(path.slice(2))}`;
  return quote(path.startsWith('-') ? `./${path}` : path);
}

/** Replaces the file in one step: whoever reads it sees the old content or the new. Follows a symbolic link, keeps the mode. */
export function writeFileScript(path: string, content: string): string {
  const bytes = Buffer.from(content, 'utf8');
  const lines = bytes.toString('base64').match(new RegExp(`.{1,${BASE64_COLUMNS}}`, 'g')) ?? [];
  return `(
path=${quotePath(path)}
fail() { printf 'write_file: %s\\n' "$1" >&2; exit 1; }
[ -L "$path" ] && { path=$(readlink -m -- "$path") || fail "cannot follow the link"; }
[ -d "$path" ] && fail "$path is a directory"
case $path in */) fail "$path names a directory" ;; */*) dir=\${path%/*}/ ;; *) dir=./ ;; esac
mkdir -p -- "$dir" || exit 1
new=$(mktemp -- "$dir.write-XXXXXXXX") || exit 1
trap 'rm -f -- "$new"' EXIT
base64 -d >"$new" <<'END_OF_CONTENT' || exit 1
${lines.join('\n')}
END_OF_CONTENT
[ "$(stat -c %s -- "$new")" = ${bytes.length} ] || fail "the disk did not take all bytes"
if [ -e "$path" ]; then
  chmod --reference="$path" -- "$new" || exit 1
  chown --reference="$path" -- "$new" 2>/dev/null
else
  chmod "$(printf %o $((0666 & ~$(umask))))" -- "$new" || exit 1
fi
mv -fT -- "$new" "$path" || exit 1
printf 'Wrote %d bytes to %s\\n' ${bytes.length} "$path"
)`;
}

/** Shows lines of the file, as many as fit; says on its last line what it left out. */
export function readFileScript(path: string, range: { readonly offset: number; readonly lines: number }): string {
  const last = range.offset + range.lines - 1;
  return `(
path=${quotePath(path)}
fail() { printf 'read_file: %s\\n' "$1" >&2; exit 1; }
[ -d "$path" ] && fail "$path is a directory"
[ -e "$path" ] || fail "$path does not exist"
[ -f "$path" ] || fail "$path is not a regular file"
[ -r "$path" ] || fail "$path cannot be read"
bytes=$(tail -n +${range.offset} -- "$path" | head -n ${range.lines} | wc -c)
tail -n +${range.offset} -- "$path" | head -n ${range.lines} | head -c ${READ_BYTES_MAX}
total=$(wc -l <"$path")
note=
[ "$bytes" -gt ${READ_BYTES_MAX} ] && note="only the first ${READ_BYTES_MAX} of $bytes bytes of these lines are shown"
[ "$total" -gt ${last} ] && note="\${note:+$note; }lines ${range.offset} to ${last} of $total were asked for"
[ -z "$note" ] || printf '\\n[%s]\\n' "$note"
exit 0
)`;
}
