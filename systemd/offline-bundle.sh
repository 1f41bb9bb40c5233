#!/usr/bin/env bash
# Collect all that systemd/install.sh needs into one new folder, which installs without a network: offline-bundle.sh OUT
# Made on a PC with network, of the same Debian release and processor kind; PYTHON names its Python (default python3).
set -euo pipefail

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PACKAGES=(libgl1 libglib2.0-0 python3-venv mosquitto nodejs)
MIRROR=${MIRROR:-http://deb.debian.org/debian}

fail() { printf 'offline-bundle.sh: %s\n' "$1" >&2; exit "${2:-64}"; }

main() {
  [ $# = 1 ] || fail "expected one new folder, for instance dist/edge-inspector-offline"
  [ ! -e "$1" ] || fail "$1 exists already"
  # shellcheck disable=SC1091 # a file of the system
  [ "$(. /etc/os-release && echo "$ID")" = debian ] || fail "Debian packages are collected on Debian" 69
  part=$1.part.$$
  trap 'rm -rf "$part" "$part.sums"' EXIT
  mkdir -p "$part/work" "$part/wheels" "$part/debs"
  part=$(cd "$part" && pwd)
  collect_wheels
  collect_packages
  collect_dashboard
  cp -r "$SOURCE/systemd" "$SOURCE/configs" "$SOURCE/README.md" "$SOURCE/CHANGELOG.md" "$SOURCE/LICENSE" "$part/"
  rm -rf "$part/work"
  (cd "$part" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$part.sums"
  mv "$part.sums" "$part/SHA256SUMS"
  mv -T "$part" "$1"
  printf '%s: %s, %s wheels, %s Debian packages; there: sudo bash systemd/install.sh\n' "$1" "$(du -sh "$1" | cut -f1)" \
    "$(find "$1/wheels" -name '*.whl' | wc -l)" "$(find "$1/debs" -name '*.deb' | wc -l)"
}

collect_wheels() {
  mkdir "$part/work/source"                                 # building leaves files behind
  cp -r "$SOURCE/pyproject.toml" "$SOURCE/README.md" "$SOURCE/LICENSE" "$SOURCE/edge_inspector" "$part/work/source/"
  "${PYTHON:-python3}" -m pip wheel -q --disable-pip-version-check -w "$part/wheels" "$part/work/source[metrics]"
}

collect_packages() {                                        # as if nothing were installed, so that nothing is missing there
  local apt=$part/work/apt deb
  mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
  : >"$apt/status"
  # shellcheck disable=SC1091
  (. /etc/os-release && printf 'deb %s %s main\ndeb %s-security %s-security main\n' \
    "$MIRROR" "$VERSION_CODENAME" "$MIRROR" "$VERSION_CODENAME") >"$apt/sources.list"
  local here=(-qq -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
    -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root
    -o Dir::Cache::archives="$apt/cache/archives" -o Debug::NoLocking=true)
  apt-get "${here[@]}" update
  apt-get "${here[@]}" install -y --download-only --no-install-recommends "${PACKAGES[@]}" >/dev/null
  for deb in "$apt"/cache/archives/*.deb; do
    dpkg-deb --field "$deb"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$(basename "$deb")" "$(stat -c %s "$deb")" "$(sha256sum <"$deb" | cut -d' ' -f1)"
  done >"$part/debs/Packages"
  mv "$apt"/cache/archives/*.deb "$part/debs/"
}

collect_dashboard() {                                       # one file: a stick's file system may know no links
  mkdir "$part/work/nodered"
  (cd "$SOURCE/nodered" && tar --exclude=./node_modules --exclude=./images -cf - .) | tar -xf - -C "$part/work/nodered"
  (cd "$part/work/nodered" && npm ci --omit=dev --no-audit --no-fund --loglevel=error >/dev/null)
  tar -czf "$part/nodered.tar.gz" -C "$part/work" nodered
}

main "$@"
