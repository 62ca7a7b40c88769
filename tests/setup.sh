# Installs whatever a fresh Debian machine (bookworm or trixie) lacks to build ms2m and to run its
# sandbox. Sourced by examples/demo.sh and tests/run.sh; can be run again at any time.
# shellcheck shell=bash

# The oldest Rust that the dependencies build with: `rust-version` in Cargo.toml.
MS2M_RUST=1.89

# The oldest kubectl that the tests ask all of: it completes its plugins since then. The demo does with
# any, and Debian bookworm has 1.20.
MS2M_KUBECTL=1.26
MS2M_KUBECTL_RELEASE=v1.33.1

ms2m_say() { printf '\033[2m%s\033[0m\n' "$*" >&2; }
ms2m_die() { printf 'error: %s\n' "$*" >&2; exit 1; }

ms2m_as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian starts a service as soon as its package is installed. The sandbox runs private instances
# of its own, so nothing must be started; a policy that is already there stays as it is.
ms2m_install() {
  command -v apt-get >/dev/null || ms2m_die "this machine has no apt-get; install these Debian packages' equivalents by hand: $*"
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || ms2m_die "installing $* takes root or sudo"
  ms2m_say "installing from Debian: $*"
  local policy=/usr/sbin/policy-rc.d own_policy=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | ms2m_as_root tee "$policy" >/dev/null
    ms2m_as_root chmod 755 "$policy"
    own_policy=1
  fi
  local status=0
  {
    ms2m_as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
      ms2m_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
  } >&2 || status=$?
  [ -z "$own_policy" ] || ms2m_as_root rm -f "$policy"
  [ "$status" -eq 0 ] || ms2m_die "apt-get could not install: $*"
}

ms2m_packages() {
  local missing=()
  command -v cc >/dev/null || missing+=(gcc libc6-dev)
  command -v curl >/dev/null || missing+=(curl)
  [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
  [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing+=(rabbitmq-server)
  command -v docker-registry >/dev/null || missing+=(docker-registry)
  command -v kubectl >/dev/null || missing+=(kubernetes-client)
  /usr/bin/python3 -c 'import pika' 2>/dev/null || missing+=(python3-pika)
  [ ${#missing[@]} -eq 0 ] || ms2m_install "${missing[@]}"
}

ms2m_rust_is_new_enough() {
  local have
  have=$(cargo --version 2>/dev/null | cut -d' ' -f2) || return 1
  [ -n "$have" ] && [ "$(printf '%s\n' "$MS2M_RUST" "$have" | sort -V | head -n 1)" = "$MS2M_RUST" ]
}

# Debian's own Rust is too old (1.63 in bookworm, 1.85 in trixie); rustup brings the stable one.
ms2m_rust() {
  # shellcheck disable=SC1091
  [ ! -f "$HOME/.cargo/env" ] || . "$HOME/.cargo/env"
  ms2m_rust_is_new_enough && return
  if command -v rustup >/dev/null; then
    ms2m_say "updating Rust to the stable toolchain"
    rustup toolchain install stable --profile default >&2 || ms2m_die "rustup could not install the stable toolchain"
    export RUSTUP_TOOLCHAIN=stable
  else
    ms2m_say "installing Rust with rustup, into $HOME/.cargo"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --no-modify-path --profile default >&2 ||
      ms2m_die "Rust could not be installed; install $MS2M_RUST or later from https://rustup.rs and try again"
    # shellcheck disable=SC1091
    . "$HOME/.cargo/env"
  fi
  ms2m_rust_is_new_enough || ms2m_die "Rust $MS2M_RUST or later is needed, and $(cargo --version) is what there is"
}

ms2m_kubectl_is_new_enough() {
  local have
  have=$(kubectl version --client -o json 2>/dev/null | sed -n 's/.*"gitVersion": "v\([0-9.]*\).*/\1/p')
  [ -n "$have" ] && [ "$(printf '%s\n' "$MS2M_KUBECTL" "$have" | sort -V | head -n 1)" = "$MS2M_KUBECTL" ]
}

# Puts a kubectl into the user's cache and first into PATH, unless the one that is there is new enough.
# MS2M_KUBECTL_FROM names a mirror of dl.k8s.io's releases.
ms2m_kubectl() {
  ms2m_kubectl_is_new_enough && return
  local cache="${XDG_CACHE_HOME:-$HOME/.cache}/ms2m/kubectl-$MS2M_KUBECTL_RELEASE" url
  url="${MS2M_KUBECTL_FROM:-https://dl.k8s.io/release}/$MS2M_KUBECTL_RELEASE/bin/linux/$(dpkg --print-architecture)/kubectl"
  if [ ! -x "$cache/kubectl" ]; then
    ms2m_say "kubectl is older than $MS2M_KUBECTL; fetching $MS2M_KUBECTL_RELEASE into $cache"
    mkdir -p "$cache"
    { curl -fsSL "$url" -o "$cache/new" && curl -fsSL "$url.sha256" -o "$cache/sum" &&
        printf '%s  %s\n' "$(cat "$cache/sum")" "$cache/new" | sha256sum --check --quiet >&2; } ||
      ms2m_die "no kubectl came from $url; install $MS2M_KUBECTL or later and try again"
    chmod 755 "$cache/new"
    mv "$cache/new" "$cache/kubectl"
  fi
  PATH="$cache:$PATH"
  ms2m_kubectl_is_new_enough || ms2m_die "$cache/kubectl does not work; remove it and try again"
}

# Says so where a first build may not fit; linkers and compilers end in many ways on a full disk.
ms2m_room() {
  [ ! -d "${CARGO_TARGET_DIR:-target}" ] || return 0
  local free
  free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
  [ "$free" -ge 10 ] || ms2m_say "$free GB are free here, and a first build with all tests takes up to 10 (5 with CARGO_INCREMENTAL=0)"
}

ms2m_setup() {
  ms2m_packages
  ms2m_rust
}
