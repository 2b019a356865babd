# The bash kernel: sourced by an interactive bash without a terminal, which reads its commands from standard input and
# so survives syntax errors, unset variables and interrupts, as it does under a human.
#
# The agent writes the data of a run to descriptor 3, each field ended by a NUL: the number of variables, each as
# NAME=VALUE, the code. Answers go to descriptor 3 as lines.
PS1=
PS2=
unset PROMPT_COMMAND HISTFILE
set +o history +o monitor
BASH_ARGV0=bash

__sandbox_begin() {
  local count name value field
  __sandbox_saved=()
  IFS= read -r -d '' -u 3 count
  while ((count-- > 0)); do
    IFS= read -r -d '' -u 3 field
    name=${field%%=*}
    value=${field#*=}
    if [[ -n ${!name+set} ]]; then
      __sandbox_saved+=("$name" "${!name@a}" "${!name}")
    else
      __sandbox_saved+=("$name" unset '')
    fi
    export "$name=$value" 2> /dev/null
  done
  IFS= read -r -d '' -u 3 __sandbox_code
  if [[ $- == *x* ]]; then
    set +x
    __sandbox_code="set -x; $__sandbox_code"
  fi
  printf 'begun\n' >&3
}

__sandbox_end() {
  local status=$1 index name
  for ((index = 0; index < ${#__sandbox_saved[@]}; index += 3)); do
    name=${__sandbox_saved[index]}
    if [[ ${__sandbox_saved[index + 1]} == unset ]]; then
      unset "$name"
    else
      declare -g "$name=${__sandbox_saved[index + 2]}"
      [[ ${__sandbox_saved[index + 1]} == *x* ]] || declare -g +x "$name"
    fi
  done
  unset __sandbox_code __sandbox_saved
  printf 'done %s\n' "$status" >&3
}

printf 'ready\n' >&3
