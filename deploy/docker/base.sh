#!/usr/bin/env bash
# deploy/docker/base.sh base|etcd [--fresh]: an image made from Debian's packages, for where none can be pulled.
#
#   base  tributary-base: the C and C++ libraries, busybox for a shell, and the Node that npm installed here
#   etcd  tributary-etcd: the same with Debian's etcd in Node's place; set up by etcd's own ETCD_… variables
#
# Packages are downloaded and unpacked, not installed: it needs apt-get, dpkg-deb and a Docker engine, and no rights beyond that engine's.
# An image made by this very script is left as it is; --fresh makes it anew, with what Debian has mended since.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

what=${1:?which image? base or etcd}
fresh=${2:-}
image=tributary-$what
# Whoever is not root in the containers; also the user `node` of the official images of Node.
user=1000

libraries=(libc6 libgcc-s1)
case $what in
  base)
    libraries+=(libstdc++6 libatomic1 busybox-static)
    node=$root/node_modules/node/bin/node
    [[ -x $node ]] || { echo "base.sh: $node is not there: \`npm rebuild node\` fetches it" >&2; exit 1; }
    recipe=$(sha256sum "${BASH_SOURCE[0]}" <("$node" --version) | sha256sum)
    ;;
  etcd)
    libraries+=(busybox-static etcd-server)
    recipe=$(sha256sum <"${BASH_SOURCE[0]}")
    ;;
  *)
    echo "base.sh: no image is called $what: base or etcd" >&2
    exit 1
    ;;
esac
recipe=${recipe%% *}

have=$(docker image inspect --format '{{index .Config.Labels "tributary.recipe"}}' "$image" 2>/dev/null || true)
if [[ $have == "$recipe" && $fresh != --fresh ]]; then exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/packages" "$work/root"
cd "$work/packages"
# Whoever downloads as root does it as the user _apt, who cannot write here; apt says so in a line that means nothing.
download() { apt-get download --quiet=2 "${libraries[@]}" 2>"$work/said"; }
if ! download; then
  # No list of packages yet, or one that is older than what the mirror keeps.
  apt-get update --quiet=2 && download || { cat "$work/said" >&2; exit 1; }
fi

cd "$work/root"
# As Debian has it: what goes to /lib lands below /usr.
mkdir -p usr/bin usr/sbin usr/lib usr/lib64 usr/local/bin etc tmp data proc sys dev run home/tributary
for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done
for package in ../packages/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar --extract --keep-directory-symlink --no-same-owner
done
find usr/share -mindepth 1 -maxdepth 1 ! -name doc -exec rm -rf {} +
find usr/share/doc ! -type d ! -name copyright -delete
rm -rf usr/lib/*/gconv usr/lib/*/audit usr/lib/systemd etc/default etc/init.d etc/ld.so.conf.d var
for name in $(bin/busybox --list); do [[ -e bin/$name ]] || ln -s busybox "bin/$name"; done

printf 'root:x:0:0:root:/root:/bin/sh\ntributary:x:%s:%s::/home/tributary:/bin/sh\n' $user $user >etc/passwd
printf 'root:x:0:\ntributary:x:%s:\n' $user >etc/group
printf 'hosts: files dns\n' >etc/nsswitch.conf
chmod 1777 tmp

settings=(--change "LABEL tributary.recipe=$recipe" --change 'ENV PATH=/usr/local/bin:/usr/bin:/usr/sbin')
case $what in
  base)
    cp "$node" usr/local/bin/node
    # Names for debuggers are a fifth of the file. Without binutils they stay.
    if command -v strip >/dev/null; then strip usr/local/bin/node; fi
    settings+=(--change 'CMD ["node"]')
    ;;
  etcd)
    settings+=(
      --change 'ENV ETCD_NAME=etcd ETCD_DATA_DIR=/data ETCD_LOGGER=zap'
      --change 'ENV ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379 ETCD_ADVERTISE_CLIENT_URLS=http://0.0.0.0:2379'
      --change "USER $user:$user" --change 'VOLUME /data' --change 'EXPOSE 2379'
      --change 'CMD ["etcd"]'
    )
    ;;
esac

pack() { tar --numeric-owner --sort=name --mtime=@0 --file "$work/$what.tar" "$@"; }
pack --create --owner=0 --group=0 --exclude=./data .
pack --append --owner=$user --group=$user ./data
chmod -R u+w "$work"
old=$(docker image inspect --format '{{.Id}}' "$image" 2>/dev/null || true)
docker import "${settings[@]}" "$work/$what.tar" "$image" >/dev/null
# Its predecessor, unless something still stands on it.
[[ -z $old ]] || docker image rm "$old" >/dev/null 2>&1 || true
