#!/bin/sh
# The main job over HTTP with curl and a shell alone: each command below is one request. Answers are JSON, as they came.
set -eu

usage='chat.sh COMMAND USER …

  submit USER ID TEXT          hand a message over, under an id of your own
  ask USER ID TEXT             the same, and wait for the end of its turn
  follow USER ID [EVENT-ID]    what happens in a turn, as it happens; behind an event that you have seen
  cancel USER ID               end a turn, waiting or running
  usage USER                   what the machine has used
'
url=${INNKEEPER_URL:-http://127.0.0.1:7480}
: "${INNKEEPER_KEY:?a key of the gateway: npm run -s innkeeper -- keys create dev}"
newline='
'

# A request to a path below /v1/users/, with more options for curl. A refusal is printed too, and fails with 22: its "code" is
# what to go by, its "title" says what to do. The key goes by standard input, so that no list of processes shows it.
request() {
  path=$1
  shift
  printf 'header = "authorization: Bearer %s"\n' "$INNKEEPER_KEY" |
    curl --config - --silent --show-error --fail-with-body "$@" "$url/v1/users/$path"
}

# Text as JSON has it.
quote() {
  printf '%s' "$1" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/	/\\t/g' |
    awk 'BEGIN { printf "\"" } NR > 1 { printf "\\n" } { printf "%s", $0 } END { printf "\"" }'
}

# The id makes it safe to repeat, whatever went wrong: the same id with the same text is the same turn.
submit() {
  user=$1 id=$2 text=$3 query=${4:-}
  shift 3
  [ $# -eq 0 ] || shift
  request "$user/turns$query" --header "idempotency-key: $id" --json "{\"prompt\":$(quote "$text")}" "$@"
}

# The request is held until the turn is over (200) or half a minute has passed (202); then it is simply sent again.
ask() {
  while :; do
    answer=$(submit "$1" "$2" "$3" '?wait=30' --write-out '\n%{http_code}') && failed=0 || failed=$?
    body=${answer%"$newline"*} status=${answer##*"$newline"}
    if [ "$failed" -ne 0 ] || [ "$status" != 202 ]; then
      printf '%s\n' "$body"
      return "$failed"
    fi
  done
}

# One line an event: its id, its name, its data. The stream ends with the turn; one that breaks goes on behind the last id.
follow() {
  user=$1 id=$2 after=${3:-} event_id='-'
  set -- --no-buffer
  [ -z "$after" ] || set -- "$@" --header "last-event-id: $after"
  request "$user/events?turn=$id" "$@" | while IFS= read -r line || [ -n "$line" ]; do
    case $line in
      'id: '*) event_id=${line#id: } ;;
      'event: '*) name=${line#event: } ;;
      'data: '*) printf '%s %s %s\n' "$event_id" "$name" "${line#data: }" ;;
      '{'*) # A refusal in place of the stream.
        printf '%s\n' "$line"
        exit 22
        ;;
    esac
  done
}

case $#:${1:-} in
  4:submit) submit "$2" "$3" "$4" && echo ;;
  4:ask) ask "$2" "$3" "$4" ;;
  3:follow | 4:follow) follow "$2" "$3" "${4:-}" ;;
  3:cancel) request "$2/turns/$3/cancel" --request POST && echo ;;
  2:usage) request "$2/usage" && echo ;;
  *)
    printf '%s' "$usage" >&2
    exit 2
    ;;
esac
