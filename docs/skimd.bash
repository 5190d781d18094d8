# bash completion for skimd. It asks the binary for its options, so it knows those of the version that is installed.
# shellcheck shell=bash

_skimd() {
    local current=$2 previous=$3 help argument

    COMPREPLY=()
    # Where = ends a word, an option with a value is three words.
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    help=$("$1" --help 2>/dev/null) || return
    if [[ $previous == --* ]]; then
        # As --help shows it, up to the column of the texts.
        argument=$(awk -v name="$previous" '$1 == name { print substr($0, 1, 27) }' <<<"$help")
        argument=${argument#*--* }
        case ${argument// /} in
        FILE) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        'on|off') mapfile -t COMPREPLY < <(compgen -W 'on off' -- "$current"); return ;;
        FORMAT) mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$current"); return ;;
        LEVEL) mapfile -t COMPREPLY < <(compgen -W 'error warn info debug' -- "$current"); return ;;
        *[A-Z]*) return ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$(awk '/^  --/ { print $1 }' <<<"$help")" -- "$current")
}

complete -o filenames -F _skimd skimd
