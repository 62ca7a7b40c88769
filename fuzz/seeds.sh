#!/usr/bin/env bash
# Writes the first inputs of the corpus: archives made with GNU tar of CRIU's images made with crit
# (Debian package criu) from JSON, and a few texts. What the fuzzers have found stays.
#
#   fuzz/seeds.sh
set -euo pipefail
cd "$(dirname "$0")"
command -v crit >/dev/null || { echo "error: crit is missing; install Debian's package criu" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{crio,containerd}/checkpoint corpus/{archive,images,metadata,node,reference,words}

# One image: its name, and its JSON on stdin.
image() { crit encode -o "$work/crio/checkpoint/$1.img"; }

fown='"fown":{"uid":0,"euid":0,"signum":0,"pid_type":0,"pid":0}'
opts='"opts":{"so_sndbuf":87040,"so_rcvbuf":131072,"so_snd_tmo_sec":0,"so_snd_tmo_usec":0,"so_rcv_tmo_sec":0,"so_rcv_tmo_usec":0}'

image inventory <<< '{"magic":"INVENTORY","entries":[{"img_version":2,"fdinfo_per_id":true}]}'
image pstree <<< '{"magic":"PSTREE","entries":[
  {"pid":1,"ppid":0,"pgid":1,"sid":1,"threads":[1,7,8]},
  {"pid":12,"ppid":1,"pgid":1,"sid":1,"threads":[12]}]}'
for process in 1:worker:1 12:helper:2; do
  IFS=: read -r pid name table <<< "$process"
  image "core-$pid" <<< '{"magic":"CORE","entries":[{"mtype":"UNKNOWN","tc":{"task_state":1,
    "exit_code":0,"personality":0,"flags":0,"blk_sigset":"0x0","comm":"'"$name"'"}}]}'
  image "ids-$pid" <<< '{"magic":"IDS","entries":[
    {"vm_id":'"$pid"',"files_id":'"$table"',"fs_id":1,"sighand_id":1}]}'
done
image fdinfo-1 <<< '{"magic":"FDINFO","entries":[
  {"id":1,"flags":0,"type":"REG","fd":0},{"id":2,"flags":0,"type":"INETSK","fd":3},
  {"id":3,"flags":0,"type":"INETSK","fd":4},{"id":4,"flags":0,"type":"REG","fd":5},
  {"id":5,"flags":0,"type":"UNIXSK","fd":6},{"id":6,"flags":0,"type":"EVENTFD","fd":7}]}'
image fdinfo-2 <<< '{"magic":"FDINFO","entries":[{"id":1,"flags":0,"type":"REG","fd":0}]}'
image files <<< '{"magic":"FILES","entries":[
  {"type":"REG","id":1,"reg":{"id":1,"flags":"0x0","pos":0,'"$fown"',"name":"/dev/null"}},
  {"type":"INETSK","id":2,"isk":{"id":2,"ino":77,"family":"INET","type":"STREAM","proto":"TCP",
    "state":"LISTEN","src_port":8080,"dst_port":0,"flags":"0x2","backlog":128,
    "src_addr":["0.0.0.0"],"dst_addr":["0.0.0.0"],'"$fown,$opts"'}},
  {"type":"INETSK","id":3,"isk":{"id":3,"ino":78,"family":"INET6","type":"STREAM","proto":"TCP",
    "state":"ESTABLISHED","src_port":45678,"dst_port":5672,"flags":"0x2","backlog":0,
    "src_addr":["fd00::12"],"dst_addr":["fd00::5672"],'"$fown,$opts"'}},
  {"type":"REG","id":4,"reg":{"id":4,"flags":"0x2","pos":4096,'"$fown"',"name":"/data/state.db","size":8192}},
  {"type":"UNIXSK","id":5,"usk":{"id":5,"ino":79,"type":1,"state":10,"flags":"0x2","uflags":"0x0",
    "backlog":8,"peer":0,'"$fown,$opts"',"name":"\u0000ctl"}},
  {"type":"EVENTFD","id":6,"efd":{"id":6,"flags":2,'"$fown"',"counter":0}}]}'
image mountpoints-9 <<< '{"magic":"MNTS","entries":[
  {"fstype":0,"mnt_id":100,"root_dev":"0:50","parent_mnt_id":0,"flags":"0x200000","root":"/",
   "mountpoint":"/","source":"overlay","options":""},
  {"fstype":0,"mnt_id":101,"root_dev":"8:1","parent_mnt_id":100,"flags":"0x200000",
   "root":"/var/lib/kubelet/pods/1/volumes/data","mountpoint":"/data","source":"/dev/vda1",
   "options":"","ext_mount":true}]}'
head -c 12288 /dev/zero | tr '\0' 'm' > "$work/crio/checkpoint/pages-1.img"

printf '%s' '{"id":"7b1c","name":"k8s_worker_worker-0_shop_f00_0","rootfsImage":"registry.example/worker:1","rootfsImageRef":"4be1","rootfsImageName":"registry.example/worker@sha256:aa","runtime":"runc","createdTime":"2026-01-31T11:00:00Z","checkpointedTime":"2026-01-31T12:00:00Z","restoredTime":"0001-01-01T00:00:00Z","restored":false}' > "$work/crio/config.dump"
printf '%s' '{"ociVersion":"1.2.0","process":{"user":{"uid":65532,"gid":65533},"args":["/worker"],"cwd":"/"},"mounts":[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/etc/hosts","type":"bind","source":"/var/lib/kubelet/pods/1/etc-hosts","options":["rw"]}],"annotations":{"io.container.manager":"cri-o","io.kubernetes.cri-o.Labels":"{\"io.kubernetes.container.name\":\"worker\",\"io.kubernetes.pod.name\":\"worker-0\",\"io.kubernetes.pod.namespace\":\"shop\"}"}}' > "$work/crio/spec.dump"
echo '(00.000001) Dumping' > "$work/crio/dump.log"
tar -C "$work" -cf "$work/crio/rootfs-diff.tar" --files-from /dev/null
printf '%s' '{"id":"1","name":"1","rootfsImageName":"registry.example/worker:1","runtime":"io.containerd.runc.v2","restored":true}' > "$work/containerd/config.dump"
printf '%s' '{"process":{"user":{"uid":0,"gid":0}},"mounts":[{"destination":"/etc/hosts","type":"bind","source":"/var/lib/kubelet/pods/1/etc-hosts"}],"annotations":{"io.kubernetes.cri.container-name":"worker","io.kubernetes.cri.sandbox-name":"worker-0","io.kubernetes.cri.sandbox-namespace":"shop"}}' > "$work/containerd/spec.dump"
echo memory > "$work/containerd/checkpoint/pages-1.img"

for engine in crio containerd; do
  tar -C "$work/$engine" --sort=name --owner=0 --group=0 --mtime=@0 --format=gnu -cf "corpus/archive/$engine.tar" \
    $(cd "$work/$engine" && ls)
done
name="checkpoint/$(printf 'n%.0s' {1..200}).img"
echo long > "$work/containerd/$name"
for format in pax gnu; do
  tar -C "$work/containerd" --sort=name --owner=0 --group=0 --mtime=@0 --format=$format \
    -cf "corpus/archive/long-$format.tar" config.dump spec.dump checkpoint
done

# The images without their heads, each after the number that stands for its name in targets.rs.
number=0
for image in pstree core-1 ids-1 fdinfo-1 files mountpoints-9; do
  { printf "\\x$(printf %x $number)"; tail -c +9 "$work/crio/checkpoint/$image.img"; } > "corpus/images/$image"
  number=$((number + 1))
done
for engine in crio containerd; do
  { cat "$work/$engine/config.dump"; printf '\0'; cat "$work/$engine/spec.dump"; } > "corpus/metadata/$engine"
done
printf '[crio.runtime]\nenable_criu_support = true\ndefault_runtime = "crun"\n[crio.runtime.runtimes.crun]\nruntime_path = "/usr/bin/crun"\n[crio.checkpoint_restore]\ncontainer_level_enabled = "all"\n' > corpus/node/crio
printf 'version = 3\n[plugins."io.containerd.cri.v1.runtime"]\nenable_criu = true\n[plugins."io.containerd.cri.v1.runtime".containerd]\ndefault_runtime_name = "runc"\n[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]\nruntime_type = "io.containerd.runc.v2"\n[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]\nBinaryName = "/usr/sbin/runc"\n' > corpus/node/containerd
printf 'tcp-close\nno-skip-in-flight # comment\n' > corpus/node/criu
printf '\0ELF\0004.2.1\0Version: %%s\n\000' > corpus/node/program
printf 'registry.example:443/a__b/c.d/e---f:_x' > corpus/reference/full
printf '[::1]:5000/cp:1' > corpus/reference/address
printf 'docker.io/cp:1' > corpus/reference/hub
printf '%s' '{"event":"progress","archiveBytes":3,"readBytes":2,"sentBytes":1,"seconds":0.5,"ratio":0.75,"bytesPerSecond":6,"etaSeconds":0.25}' > corpus/words/progress
printf '%s' '{"event":"retrying","what":"uploading the layer","attempt":2,"attempts":4,"delaySeconds":0.15,"reason":"it answered 503"}' > corpus/words/retrying
printf '%s' '{"result":"failed","code":"archive-invalid","message":"cut off"}' > corpus/words/failed
