#!/bin/bash
# Files below the home directory, for whoever asks over HTTP: one verb an execution. Needs bash, coreutils, findutils and util-linux;
# perl and python are not sure to be on a machine.
#
# Nothing outside the home directory is reached, whatever becomes of the folders meanwhile. No program is ever given a path of several
# names: `enter` goes down one name at a time. The current directory is a handle: the kernel keeps it, whatever becomes of the names that
# led there. `enter` changes into a name, and then asks by the handle of the folder above what stands there under this name. Only a true
# folder, and the very one that was entered, is gone on with; since it is held its inode is nobody else's. So at that moment the folder was
# a child of the one above, and a link that takes its place before or between is noticed, one that does so later is not looked at. The last
# name is used from there by calls that do not follow a link: lstat, rename, link, unlink, rmdir, open with O_NOFOLLOW; or by a handle that
# was compared in the same way.
#
# Answers by lines that begin with "innkeeper-files", bytes in base64 between them; an answer without "end" was cut short. Errors of
# programs are not handed on: they name files.

export LC_ALL=C
exec 2>/dev/null

LOCK_SECONDS_MAX=10
STALE_MINUTES=60
STAMP='%i-%s-%.9Y-%.9Z'
home=${HOME:-~}

say() { printf 'innkeeper-files %s\n' "$*"; }
refuse() { say refused "$1"; say end; exit 0; }

# An empty name would be wherever this was started.
go_home() { [[ $home == /* ]] && cd -P -- "$home" || refuse failed; }

# What a name in the current directory is, without following it: file, folder, link, other, none.
kind_of() {
  if [[ -L ./$1 ]]; then echo link
  elif [[ -d ./$1 ]]; then echo folder
  elif [[ -f ./$1 ]]; then echo file
  elif [[ -e ./$1 ]]; then echo other
  else echo none; fi
}

refuse_kind() {
  [[ $1 == none ]] && refuse missing
  refuse "$1"
}

# Makes the folder of this name the current directory.
enter() {
  local above kind same=()
  exec {above}<. || refuse failed
  if ! cd -P -- "./$1"; then
    kind=$(kind_of "$1")
    [[ $kind == folder ]] && refuse failed
    refuse_kind "$kind"
  fi
  mapfile -t same < <(stat -c '%d:%i:%F' -- . "/proc/self/fd/$above/$1")
  exec {above}<&-
  [[ ${#same[@]} == 2 && ${same[0]} == "${same[1]}" && ${same[0]} == *:directory ]] || refuse link
}

# Goes to the folder above what the path names, whose own name is in $name from then on; empty: the home directory itself.
# $2 make: folders that are missing are made.
reach() {
  local rest=$1 part names=()
  go_home
  case $rest in
    "$home" | "$home"/*) rest=${rest#"$home"} ;;
    "$PWD" | "$PWD"/*) rest=${rest#"$PWD"} ;;
    /*) refuse outside ;;
  esac
  while [[ -n $rest ]]; do
    part=${rest%%/*}
    if [[ $rest == */* ]]; then rest=${rest#*/}; else rest=; fi
    case $part in
      '' | .) ;;
      ..) refuse outside ;;
      *) names+=("$part") ;;
    esac
  done
  depth=${#names[@]}
  name=
  ((depth == 0)) && return
  # The journal of the agent's commands.
  [[ ${names[0]} == .innkeeper ]] && refuse reserved
  name=${names[depth - 1]}
  for part in "${names[@]:0:depth-1}"; do
    [[ ${2-} == make && ! -e ./$part ]] && mkdir -- "./$part"
    enter "$part"
  done
}

# Goes to where files wait until they are whole.
reach_uploads() {
  local part
  go_home
  for part in .innkeeper uploads; do
    [[ -e ./$part ]] || mkdir -m 700 -- "./$part"
    enter "$part"
  done
}

# Sets $kind and $stamp of $name, and refuses where they are not as the request wants them: any, absent, present, is:STAMP,STAMP.
check_target() {
  kind=$(kind_of "$name")
  stamp=
  [[ $kind == file ]] && stamp=$(stat -c "$STAMP" -- "./$name")
  case $1 in
    absent) [[ $kind == none ]] || refuse unmet ;;
    present) [[ $kind == file ]] || refuse unmet ;;
    is:*) [[ -n $stamp && ",${1#is:}," == *",$stamp,"* ]] || refuse unmet ;;
  esac
  [[ $kind == file || $kind == none ]] || refuse "$kind"
}

# list PATH AFTER LIMIT ENTRIES_MAX: a page of the names behind AFTER (base64).
verb_list() {
  local after names=() page=() low=0 high middle
  reach "$1"
  [[ -n $name ]] && enter "$name"
  after=$(base64 -d <<<"$2" && echo .) || refuse failed
  after=${after%.}
  mapfile -d '' -t names < <(
    if ((depth == 0)); then find . -mindepth 1 -maxdepth 1 ! -name .innkeeper -printf '%f\0'
    else find . -mindepth 1 -maxdepth 1 -printf '%f\0'; fi | head -z -n $(($4 + 1)) | sort -z
  )
  high=${#names[@]}
  ((high > $4)) && refuse crowded
  while ((low < high)); do
    middle=$(((low + high) / 2))
    if [[ -z $after || ${names[middle]} > $after ]]; then high=$middle; else low=$((middle + 1)); fi
  done
  page=("${names[@]:low:$3}")
  say folder "${#names[@]}" "$((low + ${#page[@]} < ${#names[@]}))"
  ((${#page[@]} > 0)) && stat --printf '%f %s %.3Y %n\0' -- "${page[@]/#/./}" | base64 -w 0
  printf '\n'
}

# read PATH OFFSET LENGTH: a piece, and what file it is of; "changed" where it was another one by the end.
verb_read() {
  local about='%f %s %.3Y' before
  reach "$1"
  [[ -n $name ]] || refuse folder
  before=$(stat -c "$about $STAMP" -- "./$name") || refuse missing
  # The type of a regular file, in hexadecimal.
  [[ $before == 8???' '* ]] || refuse_kind "$(kind_of "$name")"
  say file "$before"
  (($3 > 0)) && dd if="./$name" bs=64K status=none skip="$2" count="$3" \
    iflag=skip_bytes,count_bytes,fullblock,nofollow,nonblock | base64 -w 0
  printf '\n'
  [[ $(stat -c "$about $STAMP" -- "./$name") == "$before" ]] || refuse changed
}

# begin PATH ID WANTED: looks whether the file may be written, and makes the empty one that it grows in. Says which that is.
verb_begin() {
  foresee "$1" "$3"
  reach_uploads
  find . -mindepth 1 -maxdepth 1 -type f -mmin "+$STALE_MINUTES" -delete
  [[ -e ./$2 ]] || (set -o noclobber && : >"./$2") || refuse full
  [[ $(kind_of "$2") == file ]] || refuse failed
  say upload "$(stat -c '%d:%i' -- "./$2")" "$kind"
}

# Sets $kind as it will be found, where folders on the way may be missing yet. Makes nothing, and stays where it is.
foresee() {
  local answer
  answer=$(reach "$1"; [[ -n $name ]] || refuse folder; check_target "$2"; say "$kind")
  answer=${answer%%$'\n'*}
  kind=${answer##* }
  [[ $answer == *' refused '* && $kind != missing ]] && refuse "$kind"
  [[ $kind == missing && $2 != any && $2 != absent ]] && refuse unmet
  [[ $kind == missing ]] && kind=none
}

# piece ID OFFSET: bytes from stdin to where they belong; the same piece twice is the same file.
verb_piece() {
  reach_uploads
  base64 -d | dd of="./$1" bs=64K status=none seek="$2" iflag=fullblock oflag=seek_bytes,nofollow,nonblock conv=notrunc,nocreat
  case "${PIPESTATUS[*]}" in
    '0 0') say piece ;;
    '0 '*) if [[ $(kind_of "$1") == file ]]; then refuse full; else refuse lost; fi ;;
    *) refuse failed ;;
  esac
}

# commit PATH ID IDENTITY BYTES SHA256 WANTED: puts the whole file in its place, in one step. Repeated, it finds that it was done.
verb_commit() {
  local waiting file='' place lock mode owner
  reach_uploads
  exec {waiting}<.
  if [[ $(kind_of "$2") == file ]]; then
    exec {file}<"./$2" || refuse failed
    # From here on by this handle, whatever is put under the name.
    place=/proc/self/fd/$file
    [[ $(stat -L -c '%d:%i:%s' -- "$place") == "$3:$4" ]] || refuse lost
    [[ $(sha256sum <&"$file") == "$5 "* ]] || refuse damaged
    sync -- "$place"
  fi
  reach "$1" make
  exec {lock}<. && flock -w "$LOCK_SECONDS_MAX" "$lock" || refuse busy
  if [[ $(stat -c '%d:%i:%F' -- "./$name") != "$3:regular "* ]]; then
    [[ -n $file ]] || refuse lost
    check_target "$6"
    if [[ $kind == file ]]; then
      read -r mode owner < <(stat -c '%a %u:%g' -- "./$name")
      chown "$owner" "$place"
      chmod "$mode" "$place" || refuse failed
    fi
    # A rename between file systems would be a copy, and no single step.
    [[ $(stat -c %d .) == "${3%%:*}" ]] || refuse elsewhere
    if [[ $6 != absent ]]; then mv -fT -- "/proc/self/fd/$waiting/$2" "./$name" || refuse failed
    elif ! ln -T -- "/proc/self/fd/$waiting/$2" "./$name"; then
      [[ $(kind_of "$name") == none ]] && refuse failed
      refuse unmet
    fi
    sync -- .
  fi
  rm -f -- "/proc/self/fd/$waiting/$2"
  say file "$(stat -c "%f %s %.3Y $STAMP" -- "./$name")"
}

# abort ID
verb_abort() {
  reach_uploads
  rm -f -- "./$1"
  say aborted
}

# delete PATH RECURSIVE
verb_delete() {
  reach "$1"
  [[ -n $name ]] || refuse home
  kind=$(kind_of "$name")
  # What was named as a folder is not taken for the link that leads to one.
  [[ $1 == */ || $1 == */. ]] && [[ $kind != folder ]] && refuse_kind "$kind"
  case $kind in
    none) refuse missing ;;
    folder)
      if [[ $2 == 1 ]]; then rm -rf --one-file-system -- "./$name"
      elif ! rmdir -- "./$name" && [[ -n $(find "./$name" -mindepth 1 -maxdepth 1 -print -quit) ]]; then refuse occupied; fi
      ;;
    *) rm -f -- "./$name" ;;
  esac
  [[ $(kind_of "$name") == none ]] || refuse failed
  say deleted
}

verb=verb_$1
shift
"$verb" "$@"
say end
