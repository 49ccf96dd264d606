#!/bin/bash
# The runner: what executes the agent's commands inside a machine, each at most once. Needs bash, coreutils and util-linux.
#
# It plays these parts, and this one file holds them all:
#   serve    the loop behind an attachment's raw terminal: one line in, framed records out
#   once     the same verbs for one execution, where there are no terminals
#   run      the runner proper: detached, holds the command's lock for its life, journals started and result
#   stopper  ends one command: INT, TERM, KILL with gaps, or a tombstone where it never began
#   (sourced) the prelude of the command's own shell: restores and saves the user's directory and environment
#   person   makes a terminal's shell a person's own, in the same context; sourced, its start-up file
#   leave    ends a person's shell, and says where it left the context
#
# Journal, under ~/.innkeeper/journal, by command id: .spec (body), .lock, .started, .out.NNNNNNN (raw output in segments of
# 1 MiB, middle ones dropped), .kept (head and tail of an output too long to keep), .result, .void (tombstone), .stop (a stop
# was asked for), .stopped (and is over). Lines beginning "#@" name the protocol's points; tests kill the runner at each.

# ---------------------------------------------------------------- the command's own shell, or a person's (sourced)
if [[ ${BASH_SOURCE[0]} != "$0" ]]; then
  set --
  declare -A __innkeeper_base=()
  mapfile -d '' -t __innkeeper_names <"/proc/$$/environ"
  for __innkeeper_name in "${__innkeeper_names[@]}"; do
    __innkeeper_base[${__innkeeper_name%%=*}]=${__innkeeper_name#*=}
  done

  # Called by saved contexts.
  __innkeeper_cd() {
    builtin cd -- "$1" 2>/dev/null && return
    builtin cd -- "$HOME" 2>/dev/null
    printf 'The directory %s is gone; this command starts in %s.\n' "$1" "$PWD" >&2
  }

  # Writes directory, exported variables and exported functions, as far as they differ from a new shell's. A file without its
  # last line is no context: that makes the write atomic. Builtins only, whatever options the command has set.
  __innkeeper_capture() {
    builtin compgen -e >|"$__innkeeper_out" || return
    builtin mapfile -t __innkeeper_names <"$__innkeeper_out"
    declare -A __innkeeper_now=()
    {
      for __innkeeper_name in "${__innkeeper_names[@]}"; do
        __innkeeper_now[$__innkeeper_name]=1
        case $__innkeeper_name in PWD | OLDPWD | SHLVL | _ | __innkeeper_*) continue ;; esac
        [[ -v __innkeeper_base[$__innkeeper_name] && ${__innkeeper_base[$__innkeeper_name]} == "${!__innkeeper_name}" ]] && continue
        builtin declare -p "$__innkeeper_name"
      done
      for __innkeeper_name in "${!__innkeeper_base[@]}"; do
        case $__innkeeper_name in PWD | OLDPWD | SHLVL | _ | __innkeeper_*) continue ;; esac
        [[ -v __innkeeper_now[$__innkeeper_name] ]] || builtin printf 'unset -v %s\n' "$__innkeeper_name"
      done
      builtin export -pf
      if [[ $PWD -ef . ]]; then __innkeeper_name=$PWD; else __innkeeper_name=$(builtin pwd -P); fi
      builtin printf '__innkeeper_cd %q\n' "$__innkeeper_name"
      [[ -n ${OLDPWD-} ]] && builtin printf 'OLDPWD=%q\n' "$OLDPWD"
      builtin printf '#end\n'
    } >|"$__innkeeper_out"
  }

  # $1: status of the command; $2: e where the script came to its end, t where it left by exit or a signal. Tells the runner, which
  # waits on its descriptor 6: opening that by path spares the command an inherited descriptor.
  __innkeeper_end() {
    { set +euxvnT; } 2>/dev/null
    trap - DEBUG RETURN ERR
    [[ -n $__innkeeper_runner ]] || exit "$1"
    __innkeeper_capture 2>/dev/null
    if [[ -p /proc/$__innkeeper_runner/fd/6 ]]; then
      builtin printf '%s' "$2" 2>/dev/null >>"/proc/$__innkeeper_runner/fd/6"
    fi
    __innkeeper_runner=
    [[ $2 == t ]] || exit "$1"
  }

  if [[ -n ${__innkeeper_person-} ]]; then
    # What keeps programs from asking is not for a person; nor does it count as theirs. Their own start-up file has the last word.
    export -n __innkeeper_person
    for __innkeeper_name in PAGER GIT_PAGER MANPAGER SYSTEMD_PAGER GIT_TERMINAL_PROMPT DEBIAN_FRONTEND PIP_NO_INPUT; do
      unset -v "$__innkeeper_name" "__innkeeper_base[$__innkeeper_name]"
    done
    HISTCONTROL=ignoreboth PS1='\[\e[1;32m\]\u\[\e[0m\]:\[\e[1;34m\]\w\[\e[0m\]\$ '
    alias ls='ls --color=auto' grep='grep --color=auto'
    # shellcheck disable=SC1090
    [[ -r ~/.bashrc ]] && . ~/.bashrc
  else
    # Blocks here, all prepared, until the runner has journalled the start; an end of input means that it died before that.
    IFS= read -r __innkeeper_spec || exit 0
    IFS= read -r __innkeeper_out || exit 0
    IFS= read -r __innkeeper_runner || exit 0
    exec </dev/null
    mapfile -t __innkeeper_names <"$__innkeeper_spec"
    printf -v __innkeeper_script '%b' "${__innkeeper_names[3]}"
  fi

  cd -- "$HOME" 2>/dev/null
  __innkeeper_files=("$HOME"/.innkeeper/context/*)
  for ((__innkeeper_i = ${#__innkeeper_files[@]} - 1; __innkeeper_i >= 0; __innkeeper_i--)); do
    mapfile -t __innkeeper_names 2>/dev/null <"${__innkeeper_files[__innkeeper_i]}" || continue
    [[ ${#__innkeeper_names[@]} -gt 0 && ${__innkeeper_names[-1]} == '#end' ]] || continue
    # shellcheck disable=SC1090
    . "${__innkeeper_files[__innkeeper_i]}"
    break
  done
  unset -v __innkeeper_name __innkeeper_names __innkeeper_spec __innkeeper_files __innkeeper_i
  if [[ -z ${__innkeeper_person-} ]]; then
    trap '__innkeeper_end "$?" t' EXIT
    return 0
  fi

  # At each prompt, so that whoever goes on finds it whatever becomes of this shell; and at its end, which may come in mid command.
  __innkeeper_out=$__innkeeper_person
  __innkeeper_keep() {
    local - __innkeeper_status=$? __innkeeper_name __innkeeper_names
    { set +euxvnT; } 2>/dev/null
    builtin history -a
    __innkeeper_capture 2>/dev/null
    return "$__innkeeper_status"
  }
  PROMPT_COMMAND="__innkeeper_keep${PROMPT_COMMAND:+; $PROMPT_COMMAND}"
  trap __innkeeper_keep EXIT
  trap '__innkeeper_keep; builtin disown -ah 2>/dev/null; builtin exit' HUP # what is in the background goes on
  return 0
fi

# ---------------------------------------------------------------- shared
LC_ALL=C
unset -v TMOUT BASH_ENV ENV IFS
set -f
HOME=${HOME:-~}
BASE=$HOME/.innkeeper
JOURNAL=$BASE/journal
RUNNER=${BASH_SOURCE[0]}
SEP=$'\037'
SEGMENT_BYTES=1048576
EMPTY_SHA256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
SHELL_CODE='. "$1" && eval "$__innkeeper_script"; __innkeeper_end "$?" e'
umask 022
read -r BOOT </proc/sys/kernel/random/boot_id
TAG=-
SERVE=
ENCODING=b64

now_ms() { NOW=${EPOCHREALTIME/[.,]/}; NOW=${NOW%???}; }

# A wait without a process: reads, with a time limit, from a pipe that nobody writes.
IDLE_FD=
pause() {
  [[ -n $IDLE_FD ]] || exec {IDLE_FD}<> <(:)
  read -r -t "$1" -u "$IDLE_FD" _
}

# One line of key=value tokens that ends in " end" (else it was torn, and is as good as absent) -> array R.
read_record() {
  local line token
  R=()
  { IFS= read -r line <"$1"; } 2>/dev/null || return 1
  [[ $line == *' end' ]] || return 1
  LINE=${line% end}
  for token in $LINE; do R[${token%%=*}]=${token#*=}; done
}

# Writes a record so that it is there whole, on disk, or not at all.
write_record() {
  printf '%s end\n' "$2" >|"$1.tmp"
  sync -d "$1.tmp" 2>/dev/null
  #@ record-written
  mv -f "$1.tmp" "$1"
}

# Fields of /proc/PID/stat from the state on -> array F: 0 state, 1 parent, 3 session, 19 start time.
read_stat() {
  local line
  { IFS= read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  F=(${line##*) })
}

# True where the lock of command $1 could be had; it is then held as descriptor 9.
take_lock() {
  exec 9>>"$JOURNAL/$1.lock" || return 1
  flock -n 9 && return 0
  exec 9>&-
  return 1
}
drop_lock() { exec 9>&-; }

# Kept output of command $1 (head $2, tail $3 bytes) -> TOTAL HEADN TAILN KEPT. $4: empty where the output has ended; else it may
# still grow, and counts up to here: a number of bytes, or "now".
measure() {
  local id=$1 head=$2 tail=$3 limit=$4 files text last size first
  set +f; files=("$JOURNAL/$id".out.*); set -f
  TOTAL=0 HEADN=0 TAILN=0 KEPT=-
  [[ -e ${files[0]} ]] || return 0
  if ((${#files[@]} == 1)) && [[ -z $limit ]] && ! IFS= read -r -d '' text <"${files[0]}"; then
    TOTAL=${#text} # no NUL byte in it, so its length is the file's
  else
    last=${files[-1]}
    size=$(exec stat -c %s "$last")
    TOTAL=$((10#${last##*.} * SEGMENT_BYTES + size))
    [[ $limit == [0-9]* ]] && TOTAL=$limit
  fi
  HEADN=$((TOTAL < head ? TOTAL : head))
  TAILN=$((TOTAL - HEADN < tail ? TOTAL - HEADN : tail))
  KEPT=${files[0]##*/}
  if [[ -n $limit ]] || ((TOTAL > head + tail || TOTAL > SEGMENT_BYTES)); then
    KEPT=$id.kept
    {
      head -c "$HEADN" "${files[0]}"
      if ((TAILN > 0)); then # it lies in the last two segments that count
        last=$(((TOTAL - 1) / SEGMENT_BYTES)) first=$((last > 0 ? last - 1 : 0))
        printf -v last "$JOURNAL/$id.out.%07d" "$last"
        printf -v first "$JOURNAL/$id.out.%07d" "$first"
        size=$((TOTAL - 10#${first##*.} * SEGMENT_BYTES))
        [[ $first == "$last" ]] && first=
        cat ${first:+"$first"} "$last" | head -c "$size" | tail -c "$TAILN"
      fi
    } >|"$JOURNAL/$KEPT"
  fi
}

hash_kept() {
  HASH=$EMPTY_SHA256
  ((HEADN + TAILN > 0)) || return 0
  read -r HASH _ < <(exec sha256sum "$JOURNAL/$KEPT")
}

# Segments between the first and the last two are never needed.
drop_middle() {
  local files
  set +f; files=("$JOURNAL/$1".out.*); set -f
  ((${#files[@]} > 3)) && rm -f "${files[@]:1:${#files[@]}-3}"
}

# Live processes of session $1 (whose leader began at $2) and their descendants, even where those left it -> TARGETS.
declare -A TARGETS=()
find_targets() {
  local sid=$1 start=$2 dir pid changed
  local -A parent=() began=() found=()
  if read_stat "$sid" && [[ ${F[19]} != "$start" ]]; then TARGETS=(); return; fi # the number went to somebody else
  set +f
  for dir in /proc/[0-9]*; do
    pid=${dir#/proc/}
    read_stat "$pid" || continue
    [[ ${F[0]} == [ZX] ]] && continue
    parent[$pid]=${F[1]}
    began[$pid]=${F[19]}
    [[ ${F[3]} == "$sid" || ${TARGETS[$pid]-} == "${F[19]}" ]] && found[$pid]=${F[19]}
  done
  set -f
  changed=1
  while ((changed)); do
    changed=0
    for pid in "${!parent[@]}"; do
      [[ -z ${found[$pid]-} && -n ${found[${parent[$pid]}]-} ]] && found[$pid]=${began[$pid]} && changed=1
    done
  done
  TARGETS=()
  for pid in "${!found[@]}"; do TARGETS[$pid]=${found[$pid]}; done
}

# Sends $1 to the targets that have not had it in this round. A shell that waits for its child acts on INT only after it, and may
# then go on with the next line: the command's own shell ($2) gets TERM instead, before its children, and again when $3 is set,
# since a shell may miss it between a child's start and the wait. Who ignores INT, as a shell's background children do, gets TERM.
# All are halted meanwhile: else a shell whose child died would go on with its next line before its own signal came.
declare -A HAD=()
signal_targets() {
  local pid lines line argv fresh=()
  for pid in "${!TARGETS[@]}"; do [[ -n ${HAD[$pid]-} ]] || fresh+=("$pid"); done
  ((${#fresh[@]})) && kill -STOP "${fresh[@]}" 2>/dev/null
  if [[ $1 == INT && -n ${TARGETS[$2]-} ]] && mapfile -d '' -t argv 2>/dev/null <"/proc/$2/cmdline" \
    && [[ ${argv[2]-} == "$SHELL_CODE" ]]; then
    [[ -z ${HAD[$2]-} || -n $3 ]] && kill -TERM "$2" 2>/dev/null
    HAD[$2]=1
  fi
  for pid in "${fresh[@]}"; do
    [[ $1 != INT || -z ${HAD[$pid]-} ]] || continue # the shell has had its TERM
    HAD[$pid]=1
    kill "-$1" "$pid" 2>/dev/null
    [[ $1 == INT ]] || continue
    mapfile -t lines 2>/dev/null <"/proc/$pid/status"
    for line in "${lines[@]}"; do
      [[ $line == SigIgn:* ]] && ((0x${line##*[[:space:]]} & 2)) && kill -TERM "$pid" 2>/dev/null
    done
  done
  ((${#fresh[@]})) && kill -CONT "${fresh[@]}" 2>/dev/null
}

# Ends session $1 (leader began at $2) with $3 ms between the signals ($4, else INT, TERM, KILL), also for processes that are born
# meanwhile; returns when nothing of it is left. $5: command whose output is kept short meanwhile.
end_session() {
  local sid=$1 start=$2 grace=$3 signal began deadline tries again
  [[ -n $sid ]] || return 0
  TARGETS=()
  for signal in ${4:-INT TERM KILL}; do
    HAD=() tries=0
    now_ms; began=$NOW deadline=$((NOW + grace))
    [[ $signal == KILL ]] && deadline=$((NOW + 10000))
    while :; do
      find_targets "$sid" "$start"
      ((${#TARGETS[@]} == 0)) && return 0
      again=
      ((tries == 4 || tries == 12)) && again=1
      signal_targets "$signal" "$sid" "$again"
      [[ -n ${5-} ]] && drop_middle "$5"
      if ((tries++ < 8)); then pause 0.004; else pause 0.05; fi
      now_ms
      ((NOW >= deadline || NOW < began)) && break
    done
  done
}

# ---------------------------------------------------------------- run: the runner proper
# Started in a session of its own. It runs one command after the other, and is prepared for each as far as can be before it knows
# it, so that a command starts within a few milliseconds. Input: a line "@id hash attachment owner" for each command, then how the
# command's shell ended. It ends with its input, and where a command's output outlives it.
run() {
  trap '' HUP INT QUIT TERM PIPE TSTP
  cd /
  close_inherited
  exec 6<&0 0</dev/null # the input, out of the way of redirections
  while run_command; do :; done
}

run_command() {
  local id hash attachment owner go tell leader spec started tick=0.1 mark= status signal= exit= timedout=0 stopped=0

  # The capper: keeps the command's output, in segments. It outlives the command where background processes still write.
  coproc CAP { exec 6<&-; IFS= read -r id || exit; exec split -b "$SEGMENT_BYTES" -a 7 -d - "$JOURNAL/$id.out."; } 2>/dev/null
  local capper=$CAP_PID
  exec 8>&"${CAP[1]}" 7<&"${CAP[0]}"
  exec {CAP[1]}>&- {CAP[0]}<&-

  # The command's shell, in a session of its own: stdin is a pipe until it may begin, then /dev/null.
  exec {go}> >(
    exec 6<&- 7<&- >&8 2>&8 8>&-
    trap - HUP INT QUIT TERM PIPE TSTP
    unset -v SHLVL OLDPWD
    exec setsid bash -c "$SHELL_CODE" bash "$RUNNER"
  )
  leader=$!

  IFS= read -r id <&6 || return
  IFS=' ' read -r id hash attachment owner _ <<<"${id##*@}"
  exec {tell}>/proc/self/fd/6 # from here on the input carries the end of the command, and stays open
  #@ assigned
  printf '%s\n' "$id" >&8
  exec 8>&-

  take_lock "$id" || return
  #@ locked
  [[ -e $JOURNAL/$id.void || -e $JOURNAL/$id.result || -e $JOURNAL/$id.started ]] && return 1
  mapfile -t spec 2>/dev/null <"$JOURNAL/$id.spec"
  [[ ${spec[4]-} == end && ${spec[0]} == "$hash" ]] || return
  check_owner "$owner" "$attachment" || return
  local limits=(${spec[1]})

  read_stat "$leader" || return
  now_ms; started=$NOW
  # Appended: a second start would be there to be seen.
  printf 'boot=%s sid=%s sidstart=%s runner=%s capper=%s at=%s headmax=%s tailmax=%s attachment=%s end\n' "$BOOT" "$leader" \
    "${F[19]}" "$BASHPID" "$capper" "$started" "${limits[1]}" "${limits[2]}" "$attachment" >>"$JOURNAL/$id.started"
  local sidstart=${F[19]}
  #@ started-unsynced
  sync -d "$JOURNAL/$id.started" 2>/dev/null
  #@ started
  [[ -n ${spec[2]} ]] && printf '%b\n' "${spec[2]}" >>"$HOME/.bash_history"

  local contexts=() context=1 name
  set +f; contexts=("$BASE/context"/*); set -f
  [[ -e ${contexts[-1]} ]] && name=${contexts[-1]##*/} && context=$((10#${name%%-*} + 1))
  printf -v context '%s/context/%010d-%s' "$BASE" "$context" "$id"
  printf '%s\n%s\n%s\n' "$JOURNAL/$id.spec" "$context" "$BASHPID" >&"$go"
  exec {go}>&-
  #@ released

  # Waits for the end of the command's own process; meanwhile keeps the output short and the time limit.
  local uptime before elapsed=0 delta got
  read -r before _ </proc/uptime; before=$((10#${before/./}0))
  while kill -0 "$leader" 2>/dev/null; do
    got=
    if read -r -t "$tick" -n 1 -u 6 got; then
      [[ $got == [et] ]] && mark=$got
      tick=0.001
      continue
    fi
    case $tick in 0.001) tick=0.003 ;; 0.003) tick=0.01 ;; 0.01) tick=0.03 ;; *) tick=0.1 ;; esac
    read -r uptime _ </proc/uptime; uptime=$((10#${uptime/./}0))
    delta=$((uptime - before)) before=$uptime
    ((elapsed += delta > 5000 ? 100 : delta)) # a jump is a machine that was frozen: that time is not the command's
    drop_middle "$id"
    if ((elapsed >= limits[0])); then
      timedout=1
      end_session "$leader" "$sidstart" "${limits[3]}" '' "$id"
    fi
  done
  wait "$leader"
  status=$?
  now_ms; local ended=$NOW
  if read -r -t 0.001 -n 1 -u 6 got && [[ $got == [et] ]]; then mark=$got; fi
  #@ ended

  # All that the command wrote is ahead of the pipe's end, or, where others hold the pipe open, ahead of a mark written now.
  local drained=1 limit=
  if read -r -t 0.05 -n 1 -u 7 _ || (($? > 128)); then
    drained=0 limit=now
    find_mark "$id" "$capper"
    read -r -t 0.001 -n 1 -u 7 _ || (($? > 128)) || drained=1 # it was only slow to end
  fi
  ((drained)) || exec 6<&- {tell}>&- # no further command for this runner: it will look after the output
  measure "$id" "${limits[1]}" "${limits[2]}" "$limit"
  hash_kept

  exit=$status
  [[ -e $JOURNAL/$id.stop && $mark != e ]] && stopped=1
  if ((status > 128)) && [[ -z $mark || ($mark == t && $((stopped + timedout)) -gt 0) ]] && signal=$(kill -l "$status" 2>/dev/null); then
    exit= signal=SIG${signal#SIG}
  else
    signal=
  fi
  write_record "$JOURNAL/$id.result" "exit=$exit signal=$signal timedout=$timedout stopped=$stopped started=$started ended=$ended \
total=$TOTAL head=$HEADN tail=$TAILN hash=$HASH kept=$KEPT"
  #@ result
  tell_serve
  drop_lock

  mapfile -t spec 2>/dev/null <"$context"
  [[ ${#spec[@]} -eq 0 || ${spec[-1]} == '#end' ]] || rm -f "$context"
  ((${#contexts[@]} > 12)) && rm -f "${contexts[@]:0:${#contexts[@]}-4}"
  set +f; spec=("$JOURNAL/$id".out.*); set -f
  [[ $KEPT == "$id.kept" ]] && ((drained)) && rm -f "${spec[@]}"
  if ((drained)); then
    exec {tell}>&-
    wait "$capper"
    exec 7<&-
    return 0
  fi
  # Background processes still write: keep the disk from filling, without a lock, until the last of them is gone.
  while read -r -t 2 -n 1 -u 7 _ || (($? > 128)); do drop_middle "$id"; done
  return 1
}

# Writes a mark into the output of command $1 (capper $2) and waits until it is through -> limit: bytes ahead of it.
find_mark() {
  local id=$1 mark=$'\n\036'"mark-$BASHPID-$RANDOM$RANDOM"$'\036' tries=0 files parts part offset
  printf '%s' "$mark" >>"/proc/$2/fd/0" || return
  while ((tries++ < 500)); do
    set +f; files=("$JOURNAL/$id".out.*); set -f
    [[ -e ${files[0]} ]] || { pause 0.02; continue; } # the capper has written nothing yet
    ((${#files[@]} > 2)) && files=("${files[@]: -2}")
    offset=$((10#${files[0]##*.} * SEGMENT_BYTES))
    mapfile -d '' -t parts < <(exec cat "${files[@]}" 2>/dev/null)
    for part in "${parts[@]}"; do
      if [[ $part == *"$mark"* ]]; then
        part=${part%%"$mark"*}
        limit=$((offset + ${#part}))
        return
      fi
      ((offset += ${#part} + 1))
    done
    pause 0.02
  done
}

# Wakes the loop that serves the terminal, if one does.
tell_serve() {
  local pid argv
  { read -r pid <"$BASE/serve"; } 2>/dev/null || return
  mapfile -d '' -t argv 2>/dev/null <"/proc/$pid/cmdline" && [[ ${argv[2]-} == serve ]] && kill -USR1 "$pid" 2>/dev/null
}

# Whatever was open in who started this process is no business of a command.
close_inherited() {
  local fd
  set +f
  for fd in /proc/self/fd/*; do
    fd=${fd##*/}
    ((fd > 2 && fd < 255)) && [[ -e /proc/self/fd/$fd ]] && exec {fd}>&-
  done
  set -f
}

# $1 owner nonce, $2 attachment. Refuses what is not the owner's, and what a higher attachment has fenced out.
check_owner() {
  local owner= highest=0
  { read -r owner <"$BASE/owner"; } 2>/dev/null
  { read -r highest <"$BASE/attachment"; } 2>/dev/null
  if [[ $owner != "$1" ]]; then REFUSAL=owner; return 1; fi
  if (($2 < highest)); then REFUSAL=fenced; return 1; fi
}

if [[ $1 == run ]]; then # what follows is not even read by a runner
  run
  exit
fi

# ---------------------------------------------------------------- verbs
# Settles command $1 without a result, for reason $2. The caller holds its lock.
settle() {
  local id=$1 began
  local -A R=()
  if [[ $2 == runner_died ]] && read_record "$JOURNAL/$id.started"; then
    end_session "${R[sid]}" "${R[sidstart]}" 0 KILL
    now_ms; began=$NOW
    while [[ -e /proc/${R[capper]:-none} ]] && ((NOW - began < 500)); do pause 0.01; now_ms; done
  fi
  measure "$id" "${R[headmax]:-65536}" "${R[tailmax]:-65536}" now
  #@ before-void
  write_record "$JOURNAL/$id.void" "reason=$2 total=$TOTAL head=$HEADN tail=$TAILN kept=$KEPT"
}

# Frame: \036 tag count header \037 body \035 tag \n, header: kind id meta… body=N enc=E of=id. The header is counted and names the
# command at both ends: what is lost or doubled on its way shows. Only the length tells where the body ends.
emit() {
  local header="$1 $2 $3 body=0 enc=raw of=$2 "
  printf '\036%s %s %s\037\035%s\n' "$TAG" "${#header}" "$header" "$TAG"
}

# The part of a frame ahead of its body: $1 kind, $2 id, $3 meta, $4 bytes, $5 encoding.
emit_head() {
  local header="$1 $2 $3 body=$4 enc=$5 of=$2 "
  printf '\036%s %s %s\037' "$TAG" "${#header}" "$header"
}

# Frame of kind $1 with the record at hand (R, LINE) of command $2, and its kept output.
emit_record() {
  local kind=$1 id=$2 bytes=$((${R[head]} + ${R[tail]})) text='' file=$JOURNAL/${R[kept]}
  if ((bytes == 0)) || [[ $ENCODING == none ]]; then
    emit "$kind" "$id" "$LINE"
  elif [[ $ENCODING == b64 ]]; then
    emit_head "$kind" "$id" "$LINE" $(((bytes + 2) / 3 * 4)) b64
    head -c "$bytes" "$file" | base64 -w 0
    printf '\035%s\n' "$TAG"
  elif ((bytes <= 16384)) && ! IFS= read -r -d '' text <"$file" && ((${#text} >= bytes)); then
    local header="$kind $id $LINE body=$bytes enc=raw of=$id " # in one write
    printf '\036%s %s %s\037%s\035%s\n' "$TAG" "${#header}" "$header" "${text:0:bytes}" "$TAG"
  else
    emit_head "$kind" "$id" "$LINE" "$bytes" raw
    head -c "$bytes" "$file"
    printf '\035%s\n' "$TAG"
  fi
}

# Where command $1 stands -> STATE: absent, spec, started, result or void (the latter two with R and LINE).
declare -A R=()
look() {
  if read_record "$JOURNAL/$1.result"; then STATE=result
  elif read_record "$JOURNAL/$1.void"; then STATE=void
  elif [[ -e $JOURNAL/$1.started ]]; then STATE=started; read_record "$JOURNAL/$1.started"
  else STATE=absent
  fi
}

# As look, and settles what can have no result any more. $2: boot id stored at the first submission, or "-".
look_and_settle() {
  look "$1"
  if [[ $STATE == started ]]; then
    if [[ -n ${R[boot]-} && ${R[boot]} != "$BOOT" ]]; then
      settle_locked "$1" boot_changed
    elif take_lock "$1"; then
      look "$1"
      [[ $STATE == started ]] && settle "$1" runner_died
      drop_lock
      look "$1"
    fi
  elif [[ $STATE == absent && $2 != - && $2 != "$BOOT" ]]; then
    settle_locked "$1" disk_rolled_back
  fi
}
settle_locked() {
  if take_lock "$1"; then
    look "$1"
    [[ $STATE == started || $STATE == absent ]] && settle "$1" "$2"
    drop_lock
    look "$1"
  fi
}

# Bytes that the capper of the record at hand has written so far; 0 where the kernel does not tell.
output_bytes() {
  local line lines=()
  BYTES=0
  mapfile -t lines 2>/dev/null <"/proc/${R[capper]:-none}/io"
  for line in "${lines[@]}"; do [[ $line == wchar:* ]] && BYTES=${line#wchar: }; done
}

# How far command $1 is, with the next piece of its output where that is wanted: of its first segment, the only one that stays.
emit_progress() {
  local from=${LIVE[$1]-} piece=
  [[ -n $from ]] && ((from < BYTES && from < SEGMENT_BYTES)) \
    && piece=$(tail -c +$((from + 1)) "$JOURNAL/$1.out.0000000" 2>/dev/null | head -c "$LIVE_BYTES" | base64 -w 0)
  if [[ -z $piece ]]; then emit running "$1" "bytes=$BYTES"; return; fi
  emit_head running "$1" "bytes=$BYTES offset=$from" "${#piece}" b64
  printf '%s\035%s\n' "$piece" "$TAG"
  local padding=${piece##*[!=]}
  LIVE[$1]=$((from + ${#piece} / 4 * 3 - ${#padding}))
}

# True where output is wanted of the watched command $1 that was not told yet.
lags() { [[ -n ${LIVE[$1]-} ]] && ((LIVE[$1] < BYTES && LIVE[$1] < SEGMENT_BYTES)); }

# From where the output of command $1 is wanted as it comes; "-": not at all.
want_live() {
  if [[ $2 == - ]]; then unset -v "LIVE[$1]"; else LIVE[$1]=$2; fi
}

answer() {
  case $STATE in
    result | void) emit_record "$STATE" "$1" ;;
    started) output_bytes; emit_progress "$1" ;;
    *) emit absent "$1" '' ;;
  esac
}

# WATCHED: bytes of output that were last told. LIVE: offset from where the output is wanted as it comes.
declare -A WATCHED=() STOPPING=() LIVE=()
LIVE_BYTES=16384
# The runner at hand: its input and pid, the command that it has been given, if any, and whether it has had one before.
SPARE= SPARE_PID= SPARE_ID= SPARE_USED=

start_spare() {
  [[ -n $SPARE ]] && exec {SPARE}>&- # it ends after the command that it has
  exec {SPARE}> >(trap - PIPE; exec setsid bash "$RUNNER" run >/dev/null 2>&1)
  SPARE_PID=$! SPARE_ID= SPARE_USED=
}

has_spare() {
  [[ -n $SPARE && -z $SPARE_ID ]] && kill -0 "$SPARE_PID" 2>/dev/null && [[ -z $SPARE_USED || -e /proc/$SPARE_PID/fd/6 ]]
}

# run: id hash boot timeoutMs head tail graceMs live history script
verb_run() {
  local id=$1 hash=$2 boot=$3 limits="$4 $5 $6 $7" live=$8 history=$9 script=${10} spec=()
  mapfile -t spec 2>/dev/null <"$JOURNAL/$id.spec"
  if [[ ${spec[4]-} == end && ${spec[0]} != "$hash" ]]; then emit refused "$id" reason=conflict; return; fi
  look_and_settle "$id" "$boot"
  if [[ $STATE == absent ]]; then
    if [[ ${spec[4]-} != end ]]; then
      [[ -d $JOURNAL && -d $BASE/context ]] || mkdir -p "$JOURNAL" "$BASE/context"
      printf '%s\n%s\n%s\n%s\nend\n' "$hash" "$limits" "$history" "$script" >|"$JOURNAL/$id.spec"
      #@ spec-written
    fi
    submit "$id" "$hash"
    #@ submitted
    emit running "$id" bytes=0
    WATCHED[$id]=0
    want_live "$id" "$live"
    return
  fi
  want_live "$id" "$live"
  answer "$id"
  [[ $STATE == started ]] && WATCHED[$id]=0
}

submit() {
  has_spare || start_spare
  if ! printf '@%s %s %s %s\n' "$1" "$2" "$ATTACHMENT" "$OWNER" 2>/dev/null >&"$SPARE"; then
    start_spare # it died just now
    printf '@%s %s %s %s\n' "$1" "$2" "$ATTACHMENT" "$OWNER" >&"$SPARE"
  fi
  SPARE_ID=$1 SPARE_USED=1
}

# status: id boot encoding (raw, b64, or none: the record without the output) live
verb_status() {
  local ENCODING=$3
  look_and_settle "$1" "$2"
  want_live "$1" "$4"
  answer "$1"
  [[ $STATE == started ]] && WATCHED[$1]=0
}

# part: id offset bytes, of the kept output; for answers that are cut short on their way
verb_part() {
  look "$1"
  [[ $STATE == result || $STATE == void ]] || { emit absent "$1" ''; return; }
  local bytes=$((${R[head]} + ${R[tail]} - $2))
  ((bytes = bytes < $3 ? bytes : $3))
  emit_head part "$1" "offset=$2" $(((bytes + 2) / 3 * 4)) b64
  tail -c +$(($2 + 1)) "$JOURNAL/${R[kept]}" | head -c "$bytes" | base64 -w 0
  printf '\035%s\n' "$TAG"
}

# stop: id boot graceMs
verb_stop() {
  look "$1"
  if [[ $STATE == result || $STATE == void ]] && [[ -e $JOURNAL/$1.stopped || ! -e $JOURNAL/$1.stop ]]; then
    emit_record "stopped-$STATE" "$1"
    return
  fi
  if [[ -z ${STOPPING[$1]-} ]] || ! kill -0 "${STOPPING[$1]}" 2>/dev/null; then
    ([[ -n $SPARE ]] && exec {SPARE}>&-; stop_command "$1" "$2" "$3"; tell_serve) </dev/null >/dev/null 2>&1 &
    STOPPING[$1]=$!
  fi
  emit stopping "$1" ''
}

stop_command() {
  local id=$1 boot=$2 grace=$3 tries=0
  trap '' HUP INT TERM
  : >>"$JOURNAL/$id.stop"
  #@ stop-marked
  while :; do
    look "$id"
    case $STATE in result | void) break ;; esac
    if take_lock "$id"; then
      look "$id"
      if [[ $STATE == started && -n ${R[boot]-} && ${R[boot]} != "$BOOT" ]]; then settle "$id" boot_changed
      elif [[ $STATE == started ]]; then settle "$id" runner_died
      elif [[ $STATE == absent && $boot != - && $boot != "$BOOT" ]]; then settle "$id" disk_rolled_back
      elif [[ $STATE == absent ]]; then settle "$id" stopped_before_start
      fi
      drop_lock
    elif [[ $STATE == started && -n ${R[sid]-} ]]; then
      end_session "${R[sid]}" "${R[sidstart]}" "$grace"
      #@ session-ended
      [[ -p /proc/${R[runner]}/fd/6 ]] && printf s 2>/dev/null >>"/proc/${R[runner]}/fd/6"
      tries=0
      while [[ ! -e $JOURNAL/$id.result ]] && ((tries++ < 200)); do
        pause 0.01
        ((tries % 20)) || { take_lock "$id" && drop_lock && break; } # the runner died as well
      done
    else
      pause 0.01 # a runner between its lock and its start
    fi
  done
  : >|"$JOURNAL/$id.stopped"
}

# After a wake-up: says what has come to its end, and how far the rest is.
look_around() {
  local id
  for id in "${!WATCHED[@]}"; do
    look "$id"
    case $STATE in
      result | void)
        [[ $SPARE_ID == "$id" ]] && SPARE_ID=
        emit_record "$STATE" "$id"
        unset -v "WATCHED[$id]" "LIVE[$id]"
        ;;
      started)
        output_bytes
        if ((BYTES != WATCHED[$id])) || lags "$id"; then emit_progress "$id"; fi
        WATCHED[$id]=$BYTES
        ;;
    esac
  done
  for id in "${!STOPPING[@]}"; do
    [[ -e $JOURNAL/$id.stopped ]] || continue
    look "$id"
    emit_record "stopped-$STATE" "$id"
    unset -v "STOPPING[$id]"
  done
  [[ -n $SPARE_ID ]] || has_spare || start_spare
}

# One line: tag, byte count, fields separated by \037 (the last is a dot), tag -> FIELDS. Anything else is noise, or torn, and will
# be asked again.
parse_line() {
  local line=$1 length
  [[ $line == "$TAG "* && $line == *" $TAG" ]] || return 1
  line=${line#"$TAG "}
  length=${line%% *}
  line=${line#* }
  line=${line%" $TAG"}
  [[ ${#line} == "$length" ]] || return 1
  IFS=$SEP
  FIELDS=($line)
  unset -v IFS
}

# Answers the line in FIELDS.
handle() {
  local id=${FIELDS[1]}
  if ! check_owner "$OWNER" "$ATTACHMENT"; then
    emit refused "$id" "reason=$REFUSAL"
    FENCED=1
    return
  fi
  case ${FIELDS[0]} in
    run) verb_run "${FIELDS[@]:1}" ;;
    status) verb_status "${FIELDS[@]:1}" ;;
    stop) verb_stop "${FIELDS[@]:1}" ;;
    part) verb_part "${FIELDS[@]:1}" ;;
  esac
}

# Makes the attachment ours -> prints hello, or says why not. Higher numbers fence out lower ones.
say_hello() {
  local owner= highest=0 old argv files
  [[ -d $JOURNAL && -d $BASE/context ]] || mkdir -p "$JOURNAL" "$BASE/context"
  exec 9>>"$BASE/attach.lock"
  flock -w 5 9
  if ! { read -r owner <"$BASE/owner"; } 2>/dev/null; then
    printf '%s\n' "$OWNER" >|"$BASE/owner.tmp" && sync -d "$BASE/owner.tmp" && mv -f "$BASE/owner.tmp" "$BASE/owner"
    owner=$OWNER
  fi
  { read -r highest <"$BASE/attachment"; } 2>/dev/null
  if [[ $owner != "$OWNER" ]]; then emit refused - reason=owner; return 1; fi
  if ((ATTACHMENT < highest)); then emit refused - reason=fenced; return 1; fi
  if ((ATTACHMENT > highest)); then
    printf '%s\n' "$ATTACHMENT" >|"$BASE/attachment.tmp" && mv -f "$BASE/attachment.tmp" "$BASE/attachment"
  fi
  if [[ $1 == serve ]]; then
    if { read -r old <"$BASE/serve"; } 2>/dev/null && [[ $old != "$$" ]] && mapfile -d '' -t argv 2>/dev/null <"/proc/$old/cmdline" \
      && [[ ${argv[2]-} == serve ]]; then
      kill -HUP "$old" 2>/dev/null
    fi
    printf '%s\n' "$$" >|"$BASE/serve"
  fi
  exec 9>&-
  emit_head hello - "boot=$BOOT" "${#HOME}" raw
  printf '%s\035%s\n' "$HOME" "$TAG"
}

# The oldest commands leave the journal once there are many.
prune() {
  local specs id files=()
  set +f; specs=("$JOURNAL"/*.spec); set -f
  ((${#specs[@]} > 2000)) || return
  while IFS= read -r id; do
    files+=("$JOURNAL/${id%.spec}".{spec,lock,started,result,void,stop,stopped,kept,out.0000000})
    ((${#files[@]} > 1000)) && { rm -f -- "${files[@]}"; files=(); }
  done < <(cd "$JOURNAL" && set +f && ls -1tr -- *.spec | head -n -1000)
  rm -f -- "${files[@]}"
}

# What commands inherit: the machine's own settings as far as they matter to any program, and an environment that asks nothing.
clean_environment() {
  local name
  while read -r name; do export -n "$name" 2>/dev/null; done < <(compgen -e)
  export HOME PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin} USER=${USER:-root}
  export LOGNAME=${LOGNAME:-$USER} SHELL=/bin/bash LANG=${LANG:-C.UTF-8} TERM=dumb PAGER=cat GIT_PAGER=cat MANPAGER=cat
  export SYSTEMD_PAGER=cat GIT_TERMINAL_PROMPT=0 DEBIAN_FRONTEND=noninteractive PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
  for name in TZ http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR \
    NODE_EXTRA_CA_CERTS REQUESTS_CA_BUNDLE PIP_INDEX_URL NPM_CONFIG_REGISTRY; do
    [[ -n ${!name-} ]] && export "$name"
  done
}

# serve TAG OWNER ATTACHMENT IDLE_SECONDS
serve() {
  TAG=$1 OWNER=$2 ATTACHMENT=$3 ENCODING=raw FENCED=0
  local idle_max=$4 part buffer='' pending=0 quiet=0 tick status
  stty raw -echo
  clean_environment
  trap '' PIPE
  trap 'pending=1' USR1 # a command is over; no more may be done here, since it may interrupt a read
  say_hello serve || exit 0
  prune </dev/null >/dev/null 2>&1 &
  start_spare
  while ((!FENCED)); do
    tick=60
    ((${#WATCHED[@]} + ${#STOPPING[@]})) && tick=0.5
    ((${#LIVE[@]})) && tick=0.2
    if ((pending)); then
      pending=0
      look_around
      continue
    fi
    # In posix mode a signal ends a read (what it had read is then lost, and asked again). With a count it takes single bytes: else
    # bash reads ahead from a terminal, and gives what it has too much to whatever file is read next.
    set -o posix
    IFS= read -r -n 67108864 -t "$tick" part
    status=$?
    set +o posix
    if ((status == 0)); then
      parse_line "$buffer$part" && handle
      buffer='' quiet=0
    elif ((pending)); then
      buffer=''
    elif ((status > 128)); then
      buffer+=$part
      [[ $tick == 60 ]] && ((quiet += 60))
      ((quiet >= idle_max)) && exit 0
      look_around
    else
      exit 0 # the terminal is gone
    fi
  done
}

# once TAG OWNER ATTACHMENT WAIT_MS < line: one verb by one execution; waits that long for the end of what it asked about.
once() {
  TAG=$1 OWNER=$2 ATTACHMENT=$3 FENCED=0
  local wait=$4 line id
  clean_environment
  trap '' PIPE
  IFS= read -r line
  parse_line "$line" || return
  id=${FIELDS[1]}
  case ${FIELDS[0]} in
    hello) say_hello once ;;
    stop)
      handle
      ((${#STOPPING[@]})) || return
      builtin wait "${STOPPING[$id]}"
      verb_stop "${FIELDS[@]:1}"
      ;;
    *)
      handle
      ((${#WATCHED[@]})) || return
      wait_for_end "$id" "$wait"
      verb_status "$id" - b64 "${LIVE[$id]:--}"
      ;;
  esac
}

# Waits, without polling once it runs, until command $1 is over or $2 ms have passed.
wait_for_end() {
  local tries=0
  while [[ ! -e $JOURNAL/$1.started && ! -e $JOURNAL/$1.void ]] && ((tries++ < 100)); do pause 0.01; done
  local seconds
  printf -v seconds '%d.%03d' $(($2 / 1000)) $(($2 % 1000))
  [[ -e $JOURNAL/$1.started ]] && flock -w "$seconds" "$JOURNAL/$1.lock" true
}

# ---------------------------------------------------------------- a person's shell
# The next file for a context that is newer than all -> CONTEXT: its name.
next_context() {
  local files last number=1
  set +f; files=("$BASE/context"/*); set -f
  [[ -e ${files[-1]} ]] && last=${files[-1]##*/} && number=$((10#${last%%-*} + 1))
  printf -v CONTEXT '%010d-person' "$number"
}

# person TAG ID: one at a time. Says hello; what comes behind that is the person's.
person() {
  TAG=$1
  clean_environment
  [[ -d $BASE/context ]] || mkdir -p "$BASE/context"
  end_person ''
  next_context
  read_stat "$$"
  write_record "$BASE/person" "id=$2 pid=$$ start=${F[19]} context=$CONTEXT"
  emit hello "$2" ''
  # Readline asks once, as the shell begins, whether its terminal can do anything.
  exec env TERM=xterm-256color __innkeeper_person="$BASE/context/$CONTEXT" bash --rcfile "$RUNNER" -i
}

# Ends the person's shell with this id (any, where it is empty) and what it runs in the foreground: first the shell, which else
# would go on with its next command. Its context then counts as the newest -> DIRECTORY, where it is; else empty.
end_person() {
  local tries signal line
  local -A R=()
  DIRECTORY=
  read_record "$BASE/person" || return 0
  [[ ( -z $1 || ${R[id]} == "$1" ) && ${R[pid]} != "$$" ]] || return 0
  for ((tries = 0; tries < 120; tries++)); do
    read_stat "${R[pid]}" && [[ ${F[19]} == "${R[start]}" && ${F[0]} != [ZX] ]] || break
    case $tries in 0) signal=HUP ;; 40) signal=TERM ;; 80) signal=KILL ;; *) signal= ;; esac
    if [[ -n $signal ]]; then
      kill -HUP "${R[pid]}" 2>/dev/null
      ((F[5] > 0 && F[5] != F[2])) && kill "-$signal" -- "-${F[5]}" 2>/dev/null
    fi
    pause 0.025
  done
  ((tries < 120)) || kill -KILL "${R[pid]}" 2>/dev/null
  rm -f "$BASE/person"
  next_context
  mv -f "$BASE/context/${R[context]}" "$BASE/context/$CONTEXT" 2>/dev/null || return 0
  while IFS= read -r line; do
    [[ $line == '__innkeeper_cd '* ]] || continue
    eval "set -- ${line#__innkeeper_cd }"
    DIRECTORY=$1
  done <"$BASE/context/$CONTEXT"
}

# leave ID
leave() {
  end_person "$1"
  printf 'innkeeper-left %s\n' "$(printf %s "$DIRECTORY" | base64 -w 0)"
}

main() {
  local part=$1
  shift
  case $part in
    serve) serve "$@" ;;
    once) once "$@" ;;
    person) person "$@" ;;
    leave) leave "$@" ;;
  esac
}
main "$@"
exit
