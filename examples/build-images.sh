#!/usr/bin/env bash
# Builds the images of the controller, the transfer and the worker as OCI archives: static binaries in
# images `FROM scratch`. Takes no container engine and pulls nothing.
#
#   examples/build-images.sh [OUTPUT_DIRECTORY] [--prefix REGISTRY/PATH]
#
# Load an archive with any tool of the field, for example
#   skopeo copy oci-archive:images/ms2m-transfer.tar docker://registry.example.com/ms2m-transfer:0.1.0
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/setup.sh
. tests/setup.sh

output=images prefix=localhost
while [ $# -gt 0 ]; do
  case "$1" in
    --prefix) prefix=${2:?--prefix takes a registry and a path}; shift 2 ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) ms2m_die "unknown flag $1; see examples/build-images.sh --help" ;;
    *) output=$1; shift ;;
  esac
done

ms2m_setup
cargo build --locked --release --workspace --bins
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
binaries=${CARGO_TARGET_DIR:-target}/$(rustc -vV | sed -n 's/^host: //p')/release
mkdir -p "$output"

# The transfer reads a file of mode 0600 that belongs to root; the others need no rights at all. The
# controller speaks TLS to registries and brokers, so this machine's authorities come along.
pack() {
  local name=$1 user=$2
  shift 2
  "$binaries/ms2m-sandbox" image pack --binary "$binaries/$name" --entrypoint "/$name" --user "$user" \
    --reference "$prefix/$name:$version" --output "$output/$name.tar" "$@"
  echo "$output/$name.tar: $prefix/$name:$version"
}
pack ms2m 65532:65532 --add /etc/ssl/certs/ca-certificates.crt
pack ms2m-transfer 0:0
pack ms2m-worker 65532:65532
