#include "deploy/completion.h"

namespace parley {

const char* BashCompletion() {
  return R"bash(# bash completion for parley, parley_ps, parley_serve and parley_worker:
#   source <(parley completion)

# The flags in the --help of a program, those that take a value with a "=".
_parley_flags() {
  "$@" --help 2>/dev/null | sed -n \
    -e 's/^  --\[no\]\([a-z0-9_]*\).*/--\1 --no\1/p' -e t \
    -e 's/^  --\([a-z0-9_]*\).*/--\1=/p'
}

_parley() {
  local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]}
  local words= i
  COMPREPLY=()
  if [[ ${program##*/} != parley ]]; then
    [[ $current == -* ]] && words=$(_parley_flags "$program")
  elif ((COMP_CWORD == 1)); then
    words=$("$program" help 2>/dev/null | sed -n 's/^\(usage:\|      \) parley \([a-z]*\).*/\2/p')
  elif [[ $current == -* ]]; then
    words=$(_parley_flags "$program" "${COMP_WORDS[1]}")
    # What follows "--" of parley launch are flags of the program beside it.
    for ((i = 2; i < COMP_CWORD; ++i)); do
      if [[ ${COMP_WORDS[1]} == launch && ${COMP_WORDS[i]} == -- ]]; then
        i=$(type -P "$program")
        words=$(_parley_flags "${i%parley}parley_worker")
        break
      fi
    done
  fi
  # Nothing of ours: bash goes on with names of files.
  [[ -n $words ]] || return 0
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
  return 0
}

complete -o default -F _parley parley parley_ps parley_serve parley_worker
)bash";
}

}  // namespace parley
