#!/usr/bin/env bash
# Every check of the project: formatting, lints, documentation, and all tests with the real broker,
# the real registry and real kubectl. Installs what it needs. None is skipped.
#
#   tests/run.sh              on the sandbox
#   tests/run.sh --cluster    the black-box tests on a real cluster; see tests/README.md
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/setup.sh

step() { printf '\n== %s (%d s so far)\n' "$*" "$SECONDS" >&2; }

case "${1:-}" in
  '') ;;
  --cluster)
    ms2m_setup
    ms2m_kubectl
    for name in KUBECONFIG MS2M_TEST_SOURCE_NODE MS2M_TEST_TARGET_NODE MS2M_TEST_BROKER_URL \
                MS2M_TEST_REGISTRY MS2M_TEST_IMAGE_PREFIX; do
      [ -n "${!name:-}" ] || ms2m_die "$name is not set; tests/README.md says what --cluster needs"
    done
    export MS2M_TEST_WORLD=cluster
    exec cargo test --locked --workspace --test migrate -- --nocapture
    ;;
  -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) ms2m_die "unknown argument $1; see tests/run.sh --help" ;;
esac

step "set-up"
ms2m_room
ms2m_setup
ms2m_kubectl

step "formatting"
cargo fmt --all --check

step "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings

step "documentation"
RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --quiet

step "tests"
cargo test --locked --workspace --no-fail-fast

printf '\nall checks passed in %d s\n' "$SECONDS"
