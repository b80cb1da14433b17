# Brings the agent's program to a device, as root. $1: step, $2: the agent's folder, $3: what people call, $4: sha256.
set -eu
umask 022
part=$2/agent/upload-$4
case $1 in
have)
    if [ -e "$3" ] && [ "$(sha256sum <"$3" | cut -d " " -f 1)" = "$4" ]; then
        echo same
        exit 0
    fi
    mkdir -p "$2/agent"
    if [ -f "$part" ]; then wc -c <"$part"; else echo 0; fi
    ;;
send) cat >>"$part" ;;
drop) rm -f "$part" ;;
use)
    if [ "$(sha256sum <"$part" | cut -d " " -f 1)" != "$4" ]; then
        rm -f "$part"
        echo "it arrived damaged" >&2
        exit 65
    fi
    chmod 755 "$part"
    if ! said=$("$part" --version 2>&1); then
        rm -f "$part"
        echo "it does not run there: $said" >&2
        exit 66
    fi
    # It tries itself out on what is there, and takes the place of what was there only then.
    "$part" --format json --state "$2" upgrade "$part" --link "$3"
    rm -f "$part"
    ;;
esac
