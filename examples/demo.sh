#!/usr/bin/env bash
# Moves a running, stateful, message-driven pod from node-a to node-b, on this machine alone: sets
# up what is needed, starts the sandbox, a worker and its producers, runs
# `ms2m migrate worker-0 --to node-b`, and audits what survives. Leaves nothing running.
#
#   examples/demo.sh [--rate MESSAGES_PER_SECOND] [--backlog MESSAGES] [--release]
#
#   --rate       rate of all producers together (default 100)
#   --backlog    messages that wait in the primary queue when the migration starts (default 0)
#   --release    build with optimisation (takes longer the first time)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

main() {
  local rate=100 backlog=0 profile=debug
  local build=(cargo build --locked --workspace --bins)
  while [ $# -gt 0 ]; do
    case "$1" in
      --rate) rate=${2:?--rate takes a number}; shift 2 ;;
      --backlog) backlog=${2:?--backlog takes a number}; shift 2 ;;
      --release) profile=release; build+=(--release); shift ;;
      -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
      *) echo "unknown argument $1; see examples/demo.sh --help" >&2; exit 2 ;;
    esac
  done
  # shellcheck source=tests/setup.sh
  . "$root/tests/setup.sh"
  ms2m_setup
  say "building (the first time takes minutes)"
  (cd "$root" && "${build[@]}")
  local host
  host=$(rustc -vV | sed -n 's/^host: //p')
  PATH="${CARGO_TARGET_DIR:-$root/target}/$host/$profile:$PATH"
  export PATH DEMO_RATE=$rate DEMO_BACKLOG=$backlog
  exec ms2m-sandbox run --nodes node-a,node-b -- bash "$root/examples/demo.sh" --inside
}

# Runs inside the sandbox, which gives KUBECONFIG and the addresses.
inside() {
  work=$(mktemp -d)
  trap 'stop_producers; rm -rf "$work"' EXIT
  export AMQP_URL=$MS2M_SANDBOX_BROKER_URL

  say "a queue, a worker on node-a, and producers at $DEMO_RATE messages a second"
  ms2m-producer declare --exchange orders --exchange-type topic --queue orders.in --routing-key 'orders.#'
  kubectl create secret generic broker --from-literal=url="$AMQP_URL" >&2
  sed -e "s|image: .*|image: $MS2M_SANDBOX_WORKER_IMAGE|" "$root/examples/manifests/worker.yaml" | kubectl apply -f - >&2
  kubectl wait --for=condition=Ready pod/worker-0 --timeout=60s >&2
  local records=()
  if [ "$DEMO_BACKLOG" -gt 0 ]; then
    ms2m-producer run --exchange orders --routing-key orders.new --prefix backlog --rate 0 \
      --count "$DEMO_BACKLOG" --record "$work/backlog.json" >&2
    records+=(--record "$work/backlog.json")
  fi
  ms2m-producer run --exchange orders --routing-key orders.new --publishers 4 --rate "$DEMO_RATE" \
    --until-signal --record "$work/record.json" >&2 &
  producers=$!
  records+=(--record "$work/record.json")
  await_applied worker-0 $((DEMO_RATE / 2 + 1))
  kubectl get pods -o wide

  say "ms2m migrate worker-0 --to node-b"
  MS2M_BROKER_URL=$AMQP_URL MS2M_MANAGEMENT_URL=$MS2M_SANDBOX_MANAGEMENT_URL \
    MS2M_REPOSITORY=$MS2M_SANDBOX_REGISTRY/checkpoints MS2M_REGISTRY_PLAIN_HTTP=true \
    MS2M_TRANSFER_IMAGE=$MS2M_SANDBOX_TRANSFER_IMAGE \
    ms2m migrate worker-0 --to node-b --yes

  await_applied worker-0-shadow $(($(applied worker-0-shadow) + DEMO_RATE / 2 + 1))
  stop_producers
  kubectl get pods -o wide
  say "the audit: every confirmed message is in the surviving worker's state, exactly once and in order"
  ms2m-producer audit "${records[@]}" --wait 120s --state-command "kubectl get --raw $(state_path worker-0-shadow)"
}

stop_producers() {
  [ -n "${producers:-}" ] || return 0
  kill -INT "$producers" 2>/dev/null || true
  wait "$producers" || true
  producers=
}

state_path() { echo "/api/v1/namespaces/default/pods/$1:8080/proxy/state"; }

# How many messages a worker has applied; 0 while it does not answer.
applied() {
  local state
  state=$(kubectl get --raw "$(state_path "$1")" 2>/dev/null) || state='"count":0'
  # The first count is the one of all publishers.
  grep -o '"count":[0-9]*' <<<"$state" | head -n 1 | cut -d: -f2
}

await_applied() {
  local pod=$1 wanted=$2 until=$((SECONDS + 60))
  until [ "$(applied "$pod")" -ge "$wanted" ]; do
    [ $SECONDS -lt $until ] || { echo "error: $pod has not applied $wanted messages within a minute" >&2; exit 1; }
    sleep 0.1
  done
}

if [ "${1:-}" = --inside ]; then inside; else main "$@"; fi
