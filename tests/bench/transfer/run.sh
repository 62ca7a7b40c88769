#!/usr/bin/env bash
# Packs and pushes checkpoint archives with ms2m-transfer and with what Debian has for it, side by
# side. Installs what it needs. README.md beside this file says what is measured.
#
#   tests/bench/transfer/run.sh [MIB...]     sizes of the memory; 64 1024 4096 unless given
#
#   MS2M_BENCH_REPEATS=3   measurements of each, of which the median is shown
#   MS2M_BENCH_ONLY=zstd   only what has this in its name, and the floors
set -euo pipefail
cd "$(dirname "$0")/../../.."
. tests/setup.sh

case "${1:-}" in
  -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac

ms2m_setup
missing=()
for program in buildah podman skopeo umoci; do
  command -v "$program" >/dev/null || missing+=("$program")
done
# The shell has a word of this name, too.
[ -x /usr/bin/time ] || missing+=(time)
[ ${#missing[@]} -eq 0 ] || ms2m_install "${missing[@]}"

# With --workspace for the same features of the dependencies as every other build has.
exec cargo bench --locked --workspace --bench transfer -- "$@"
