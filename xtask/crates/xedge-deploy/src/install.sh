# Puts the agent on a device, as root. $1: step, $2: the agent's folder, $3: the link that people call, $4: sha256.
set -eu
umask 022
programs=$2/agent part=$2/agent/upload-$4 name=xedge-agent-$4
point() { rm -f "$2.new"; ln -s "$1" "$2.new"; mv -T "$2.new" "$2"; }
case $1 in
have)
    mkdir -p "$programs"
    if [ -f "$part" ]; then wc -c <"$part"; else echo 0; fi
    ;;
send) cat >>"$part" ;;
drop) rm -f "$part" ;;
use | check)
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
    if [ "$1" = check ]; then exit 0; fi
    mv "$part" "$programs/$name"
    sync
    old=$(readlink "$programs/current" 2>/dev/null || true)
    if [ -n "$old" ] && [ "$old" != "$name" ]; then point "$old" "$programs/previous"; fi
    point "$name" "$programs/current"
    mkdir -p "$(dirname "$3")"
    point "$programs/current" "$3"
    sync
    ;;
esac
