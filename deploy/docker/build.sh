#!/usr/bin/env bash
# deploy/docker/build.sh [--tag NAME] [--base IMAGE] [--no-etcd] [--fresh]: the project's image, and one of etcd beside it.
#
#   --tag NAME    how the image is called; default tributary:local
#   --base IMAGE  what it stands on, with Node 24 or newer; default: one made here from packages (base.sh), since that works without a registry of images
#   --no-etcd     without tributary-etcd
#   --fresh       also the images made from packages are made anew
#
# What has not changed is not built again. Says the sizes, and how long it took.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
tag=tributary:local base='' etcd=yes fresh=''
while (($# > 0)); do
  case $1 in
    --tag) tag=${2:?--tag needs a name}; shift 2 ;;
    --base) base=${2:?--base needs an image}; shift 2 ;;
    --no-etcd) etcd=''; shift ;;
    --fresh) fresh=--fresh; shift ;;
    --help | -h) usage; exit 0 ;;
    *) echo "build.sh: unknown: $1" >&2; usage >&2; exit 1 ;;
  esac
done
docker info >/dev/null 2>&1 || { echo 'build.sh: no Docker engine answers: is one running, and may you use it?' >&2; exit 1; }

begin=$SECONDS
cd "$root"
# One at a time: two tests may begin with it at once.
mkdir -p dist
exec 9>dist/image.lock
flock 9
node scripts/run.mjs deploy/docker/stage.ts dist/image
if [[ -z $base ]]; then
  base=tributary-base
  "$here/base.sh" base $fresh
fi
[[ -z $etcd ]] || "$here/base.sh" etcd $fresh
old=$(docker image inspect --format '{{.Id}}' "$tag" 2>/dev/null || true)
said=$(mktemp)
trap 'rm -f "$said"' EXIT
docker build --build-arg "BASE=$base" --tag "$tag" --file "$here/Dockerfile" dist/image >"$said" 2>&1 || { cat "$said" >&2; exit 1; }
# Its predecessor goes, unless it is the same, has another name, or runs.
[[ -z $old || $old == "$(docker image inspect --format '{{.Id}}' "$tag")" ]] || docker image rm "$old" >/dev/null 2>&1 || true

for image in "$tag" ${etcd:+tributary-etcd}; do
  echo "$image: $(($(docker image inspect --format '{{.Size}}' "$image") / 1000000)) MB"
done
echo "built in $((SECONDS - begin)) s"
