# Facts of a device, a line NAME=VALUE each, for any POSIX shell. Changes nothing. $1: the agent's program, $2: its folder.
LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export LC_ALL PATH
say() { printf '%s=%s\n' "$1" "$2"; }
there() { command -v "$1" >/dev/null 2>&1; }

say kernel "$(uname -s)"
say machine "$(uname -m)"
say user "$(id -un)"
say groups "$(id -Gn)"
say clock "$(date +%s)"
there apt-get && say apt yes
[ -d /run/systemd/system ] && say systemd yes

as=
if [ "$(id -u)" = 0 ]; then say root self
elif ! there sudo; then say root none
elif sudo -n true 2>/dev/null; then say root sudo; as="sudo -n"
else say root password
fi

# Podman has a program of Docker's name too, which knows other words.
if there docker; then
    case "$(docker --version 2>/dev/null)" in *[Pp]odman*) say docker podman; docker=podman ;; *) say docker yes; docker=docker ;; esac
fi
there podman && say podman yes
for socket in /var/run/docker.sock /run/podman/podman.sock; do
    [ -S "$socket" ] && say socket "$socket"
done
[ "${docker-}" = docker ] && say engine "$($as docker version --format '{{.Server.Version}} {{.Server.Arch}}' 2>/dev/null)"
for tool in "${docker-}" podman; do
    there "${tool:-none}" && say published "$($as "$tool" ps --filter label=xedge.release --format '{{.Ports}}' 2>/dev/null | tr '\n' ' ')" && break
done

below=$2
while [ ! -d "$below" ] && [ "$below" != / ]; do below=$(dirname "$below"); done
say free "$(df -Pk "$below" 2>/dev/null | awk 'NR==2 {print $4}')"
$as sh -c 'test -w "$1"' sh "$below" 2>/dev/null || say unwritable "$below"
awk -v at="$below" '
    index(at "/", ($2 == "/" ? "/" : $2 "/")) == 1 && length($2) >= best { best = length($2); flags = $4; point = $2 }
    END { if (("," flags ",") ~ /,noexec,/) print "noexec=" point }' /proc/mounts 2>/dev/null

if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    case " $(cat /sys/fs/cgroup/cgroup.controllers) " in *" memory "*) say memory yes ;; *) say memory no ;; esac
elif [ -f /proc/cgroups ]; then
    awk '$1 == "memory" { on = $4 } END { print "memory=" (on == 1 ? "yes" : "no") }' /proc/cgroups
fi
for file in /boot/firmware/cmdline.txt /boot/cmdline.txt; do
    [ -f "$file" ] && { say cmdline "$file"; break; }
done

there ufw && case "$($as ufw status 2>/dev/null)" in *"Status: active"*) say firewall ufw ;; esac
there firewall-cmd && [ "$($as firewall-cmd --state 2>/dev/null)" = running ] && say firewall firewalld

if [ -e "$1" ]; then say agent "$($as "$1" --version 2>/dev/null | head -n 1)"; fi
say end yes
