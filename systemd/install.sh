#!/usr/bin/env bash
# Put edge-inspector on this PC as a systemd service, change its version, or take it away.
#
#   install.sh [--dry-run] [--broker] [--dashboard]              install, or upgrade what is installed
#   install.sh [--dry-run] stations                              allow each /etc/edge-inspector/*.toml its folders and secrets
#   install.sh [--dry-run] rollback                              back to the version before
#   install.sh [--dry-run] uninstall                             take the program away; settings, bundles and ledgers stay
#
# --dry-run says what would be done and does nothing. --broker brings mosquitto, --dashboard Node-RED.
# Run from a folder that `make offline-bundle` made, it needs no network. Every command may be repeated.
set -euo pipefail

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly SOURCE OPT=/opt/edge-inspector ETC=/etc/edge-inspector UNITS=/etc/systemd/system
readonly PROGRAM=/usr/local/bin/edge-inspector
readonly INSTANCES='edge-inspector@*.service' DASHBOARD=edge-inspector-dashboard.service

DRY='' BROKER='' WITH_DASHBOARD=''
PACKAGES=(libgl1 libglib2.0-0 python3-venv)

say() { printf '%s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$2" >&2; exit "$1"; }   # exit statuses as in sysexits.h

run() {                                                     # do it, or say it
  if [ -n "$DRY" ]; then printf 'would run:'; printf ' %q' "$@"; printf '\n'; else "$@"; fi
}

put() {                                                     # put FILE MODE: write standard input, all or nothing
  local new=$1.new.$$
  if [ -n "$DRY" ]; then say "would write: $1"; cat >/dev/null; return; fi
  mkdir -p "$(dirname "$1")"; cat >"$new"; chmod "$2" "$new"; mv -f "$new" "$1"
}

systemd_runs() { [ -d /run/systemd/system ]; }
version_of() { if [ -L "$OPT/$1" ]; then basename "$(readlink "$OPT/$1")"; fi; }

main() {
  local command=install
  while [ $# -gt 0 ]; do
    case $1 in
      --dry-run) DRY=yes ;;
      --broker) BROKER=yes ;;
      --dashboard) WITH_DASHBOARD=yes ;;
      install | stations | rollback | uninstall) command=$1 ;;
      -h | --help) sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
      *) fail 64 "unknown word $1: expected install, stations, rollback or uninstall; see --help" ;;
    esac
    shift
  done
  [ -n "$DRY" ] || [ "$(id -u)" = 0 ] || fail 77 "needs root: sudo $0 $command"
  [ -n "$BROKER" ] && PACKAGES+=(mosquitto)
  [ -n "$WITH_DASHBOARD" ] && PACKAGES+=(nodejs)
  "do_$command"
}

# --- install -----------------------------------------------------------------------------------------------------------

do_install() {
  local version
  version=$(source_version)
  check_bundle
  bring_packages
  getent group edge-inspector-inbox >/dev/null || run groupadd --system edge-inspector-inbox   # not the service's own name: systemd makes that user up
  run install -d -m 755 "$OPT" "$ETC" "$ETC/bundles"
  bring_program "$version"
  [ -z "$WITH_DASHBOARD" ] || bring_dashboard "$version"
  local before earlier running; before=$(version_of current) earlier=$(version_of previous)
  mapfile -t running < <(running_units)
  allow_stations "$version"
  switch_to "$version"
  restart_or_go_back "$before" "$earlier" "${running[@]}"
  forget_old_versions
  [ -n "$DRY" ] || say "edge-inspector $version is installed${before:+ (was $before)}"
}

is_offline() { [ -d "$SOURCE/wheels" ]; }

source_version() {                                          # 0.1.0-1a2b3c4d: other sources, other folder
  local number digest
  if is_offline; then
    number=$(basename "$SOURCE"/wheels/edge_inspector-*.whl | cut -d- -f2)
    digest=$(sha256sum <"$SOURCE/SHA256SUMS")
  else
    number=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$SOURCE/pyproject.toml" | head -n 1)
    digest=$(cd "$SOURCE" && find pyproject.toml edge_inspector systemd nodered -type d \( -name node_modules -o -name __pycache__ \) \
      -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
  fi
  [ -n "$number" ] || fail 65 "$SOURCE is neither the project's folder nor one that make offline-bundle made"
  say "$number-${digest:0:8}"
}

check_bundle() {                                            # what came on a stick is what was made
  is_offline || return 0
  (cd "$SOURCE" && sha256sum --quiet --check SHA256SUMS) || fail 65 "$SOURCE is damaged: copy it again"
}

bring_packages() {
  local missing=() name
  for name in "${PACKAGES[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
  done
  if [ -n "$WITH_DASHBOARD" ] && [ -x /usr/bin/node ]; then missing=("${missing[@]/nodejs/}"); fi   # another source's Node will do
  if [ -n "$WITH_DASHBOARD" ] && ! is_offline && ! command -v npm >/dev/null; then missing+=(npm); fi
  read -r -a missing <<<"${missing[*]-}"
  [ ${#missing[@]} -gt 0 ] || return 0
  local only=(-qq)
  if is_offline; then                                       # a repository in this folder, and no other
    [ -n "$DRY" ] || say "deb [trusted=yes] file:$SOURCE/debs ./" >/run/edge-inspector.list
    only+=(-o Dir::Etc::sourcelist=/run/edge-inspector.list -o Dir::Etc::sourceparts=/dev/null)
    only+=(-o Dir::State::lists=/run/edge-inspector.lists -o APT::Sandbox::User=root)
    run mkdir -p /run/edge-inspector.lists/partial
  fi
  run apt-get "${only[@]}" update
  run env DEBIAN_FRONTEND=noninteractive apt-get "${only[@]}" install -y --no-install-recommends "${missing[@]}"
  ! is_offline || run rm -rf /run/edge-inspector.list /run/edge-inspector.lists
}

bring_program() {
  local folder=$OPT/$1
  if [ -f "$folder/complete" ]; then say "version $1 is there already"; return; fi
  run rm -rf "$folder"                                      # a half of an earlier try
  run /usr/bin/python3 -m venv "$folder"                    # not a pyenv's Python: ProtectHome hides it from the service
  if is_offline; then
    run "$folder/bin/pip" install -q --no-index --find-links "$SOURCE/wheels" 'edge-inspector[metrics]'
  else
    local copy=/run/edge-inspector.build                    # building leaves files behind
    run rm -rf "$copy"
    run mkdir "$copy"
    run cp -r "$SOURCE/pyproject.toml" "$SOURCE/README.md" "$SOURCE/LICENSE" "$SOURCE/edge_inspector" "$copy/"
    run "$folder/bin/pip" install -q "${copy}[metrics]"
    run rm -rf "$copy"
  fi
  run cp -r "$SOURCE/systemd" "$folder/systemd"
  run "$folder/bin/python" -c 'import cv2, openvino, edge_inspector'
  run touch "$folder/complete"
}

bring_dashboard() {
  local folder=$OPT/$1/dashboard
  [ ! -f "$folder/complete" ] || return 0
  run rm -rf "$folder"
  run mkdir "$folder"
  if is_offline; then
    run tar -xzf "$SOURCE/nodered.tar.gz" -C "$folder" --strip-components 1 --no-same-owner
  else
    run cp -r "$SOURCE"/nodered/{*.js,*.json,.npmrc,functions,pages,shell} "$folder/"
    (run cd "$folder" && run npm ci --omit=dev --no-audit --no-fund --loglevel=error)
  fi
  run touch "$folder/complete"
}

switch_to() {                                               # switch_to VERSION: one rename, then its units
  local before; before=$(version_of current)
  if [ "$before" != "$1" ]; then
    [ -z "$before" ] || point previous "$before"
    point current "$1"
  fi
  put "$UNITS/edge-inspector@.service" 644 <"$(units_of "$1")/edge-inspector@.service"
  if [ -d "$OPT/$1/dashboard" ] || [ -n "$WITH_DASHBOARD" ]; then
    put "$UNITS/$DASHBOARD" 644 <"$(units_of "$1")/$DASHBOARD"
  fi
  run ln -sfn "$OPT/current/bin/edge-inspector" "$PROGRAM"
  ! systemd_runs || run systemctl daemon-reload
}

units_of() { if [ -d "$OPT/$1/systemd" ]; then say "$OPT/$1/systemd"; else say "$SOURCE/systemd"; fi; }   # a dry run has none yet

point() { run ln -s "$2" "$OPT/.$1.new" && run mv -fT "$OPT/.$1.new" "$OPT/$1"; }

running_units() {
  ! systemd_runs || systemctl list-units --plain --no-legend --state=active,activating "$INSTANCES" "$DASHBOARD" | cut -d' ' -f1
}

restart() { [ $# = 0 ] || run systemctl restart "$@"; }     # systemctl waits for READY

restart_or_go_back() {                                      # restart_or_go_back VERSION THE_ONE_BEFORE UNIT...: no READY, not kept
  local before=$1 earlier=$2 bad; bad=$(version_of current)
  shift 2
  restart "$@" && return 0
  if [ -z "$before" ] || [ "$before" = "$bad" ]; then fail 1 "a station did not start: journalctl -u '$INSTANCES'"; fi
  switch_to "$before"
  run rm -rf "${OPT:?}/$bad" "$OPT/previous"
  [ -z "$earlier" ] || [ "$earlier" = "$bad" ] || point previous "$earlier"
  restart "$@" || true
  fail 1 "a station did not start with $bad; went back to $before: journalctl -u '$INSTANCES'"
}

forget_old_versions() {
  local folder name
  for folder in "$OPT"/*/; do
    name=$(basename "$folder")
    [ -L "$OPT/$name" ] || [ "$name" = "$(version_of current)" ] || [ "$name" = "$(version_of previous)" ] || [ "$name" = '*' ] \
      || run rm -rf "${OPT:?}/$name"
  done
}

# --- stations, rollback, uninstall -------------------------------------------------------------------------------------

do_stations() {
  local current; current=$(version_of current)
  [ -n "$current" ] || fail 65 "edge-inspector is not installed"
  allow_stations "$current"
  ! systemd_runs || run systemctl daemon-reload
}

allow_stations() {                                          # allow_stations VERSION: a drop-in each, by that version's reading
  local file name text
  for file in "$ETC"/*.toml; do
    [ -f "$file" ] || continue
    name=$(basename "$file" .toml) text=''
    if [ -x "$OPT/$1/bin/edge-inspector" ]; then
      text=$("$OPT/$1/bin/edge-inspector" station drop-in --config "$file") || fail 78 "$file: correct it and run this again"
    fi
    put "$UNITS/edge-inspector@$name.service.d/station.conf" 644 <<<"$text"
  done
}

do_rollback() {
  local previous running; previous=$(version_of previous)
  if [ -z "$previous" ] || [ ! -f "$OPT/$previous/complete" ]; then fail 65 "there is no version before $(version_of current)"; fi
  mapfile -t running < <(running_units)
  allow_stations "$previous"
  switch_to "$previous"
  restart "${running[@]}" || fail 1 "a station did not start: journalctl -u '$INSTANCES'"
  say "edge-inspector $previous runs again"
}

do_uninstall() {
  local wanted
  if systemd_runs; then
    for wanted in "$UNITS"/*.wants/edge-inspector@*.service "$UNITS"/*.wants/"$DASHBOARD"; do
      [ ! -L "$wanted" ] || run systemctl disable -q "$(basename "$wanted")"
    done
    run systemctl stop "$INSTANCES" "$DASHBOARD" 2>/dev/null || true
  fi
  run rm -rf "$UNITS/edge-inspector@.service" "$UNITS"/edge-inspector@*.service.d "$UNITS/$DASHBOARD" "$PROGRAM" "$OPT"
  ! systemd_runs || run systemctl daemon-reload
  say "edge-inspector is gone. Settings, bundles and ledgers stay: $ETC, /var/lib/edge-inspector"
}

main "$@"
