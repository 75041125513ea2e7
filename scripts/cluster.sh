# shellcheck shell=bash
# A Kubernetes cluster of one node, made of Debian's packages and Go's modules; nothing of it is pulled from a registry of
# images. To be sourced after lib.sh; needs root and a Docker daemon.
#
# The whole cluster runs in namespaces of its own (network, mounts, processes), so that it is gone when their first process
# is ended, with its routes, rules, mounts and containers. It reaches one port of this machine: that of the registry.
# STATE/bin keeps the programs, STATE/cluster is the running cluster.

CLUSTER_SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
KUBERNETES=1.34.4
COREDNS=1.14.7
SPARK_OPERATOR=2.5.2
FAKE_GCS=1.56.1
# On the bridge of the pods; the node.
NODE_ADDRESS=10.244.0.1
API_ADDRESS=10.96.0.1

cluster_packages() {
    need_packages ca-certificates curl git build-essential jq openssl util-linux iproute2 iptables runc containerd containernetworking-plugins \
        procps python3 || return 1
    if [ "$(id -u)" -ne 0 ]; then
        fail "a cluster needs root: namespaces, mounts, cgroups"
    fi
}

# module_folder MODULE@VERSION: downloads the module and prints the folder with its sources.
module_folder() {
    (cd "$STATE" && go mod download -json "$1" | jq -r .Dir)
}

# go_build FOLDER OUTPUT ARGUMENT…: into STATE/bin, leaving the cores to others.
go_build() {
    quiet nice -n 10 env -C "$1" go build -o "$STATE/bin/$2" "${@:3}"
}

# has_programs NAME…
has_programs() {
    local name
    for name in "$@"; do
        [ -x "$STATE/bin/$name" ] || return 1
    done
}

# ensure_cluster_programs: builds what STATE/bin lacks.
ensure_cluster_programs() {
    state_directory || return 1
    mkdir -p "$STATE/bin"
    build_kubernetes && build_coredns && build_operator && build_storage || return 1
    [ -x "$STATE/bin/pause" ] || echo 'int pause(void); int main(void) { for (;;) pause(); }' |
        gcc -Os -static -o "$STATE/bin/pause" -x c - || return 1
    say "cluster: its programs are in $STATE/bin"
}

# Kubernetes' own module takes its libraries from folders beside it, which the module as it is published lacks. Each is
# published too, with the version 0.MINOR.PATCH. etcd is in its graph of modules: Debian's is too old for Spark's watch.
build_kubernetes() {
    local programs=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl) folder=$STATE/build/kubernetes
    local version=k8s.io/component-base/version.git library packages=() edits=("-require=k8s.io/kubernetes@v$KUBERNETES") sources
    if has_programs "${programs[@]}" etcd; then
        return
    fi
    mkdir -p "$folder"
    printf 'module cluster\n' >"$folder/go.mod"
    sources=$(module_folder k8s.io/kubernetes@v$KUBERNETES) || return 1
    for library in $(go mod edit -json "$sources/go.mod" | jq -r '.Replace[].Old.Path' | grep '^k8s.io/'); do
        edits+=("-replace=$library=$library@v0.${KUBERNETES#1.}")
    done
    go mod edit "${edits[@]}" "$folder/go.mod" || return 1
    for library in "${programs[@]}"; do
        packages+=("k8s.io/kubernetes/cmd/$library")
    done
    go_build "$folder" '' -mod=mod -ldflags "-s -w -X ${version}Version=v$KUBERNETES -X ${version}Major=1 -X ${version}Minor=34" "${packages[@]}" || return 1
    go_build "$folder" etcd -mod=mod -ldflags '-s -w' go.etcd.io/etcd/server/v3 || return 1
    say "cluster: built Kubernetes $KUBERNETES, and etcd"
}

# CoreDNS with the three plugins that a cluster of one node needs: those for the clouds take minutes.
build_coredns() {
    local folder=$STATE/build/coredns
    if has_programs coredns; then
        return
    fi
    mkdir -p "$folder"
    printf 'module coredns\n' >"$folder/go.mod"
    go mod edit "-require=github.com/coredns/coredns@v$COREDNS" "$folder/go.mod" || return 1
    cat >"$folder/main.go" <<'END'
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() {
	coremain.Run()
}
END
    CGO_ENABLED=0 go_build "$folder" coredns -mod=mod -ldflags '-s -w' . || return 1
    say "cluster: built CoreDNS $COREDNS"
}

# Its image has no libc of this machine.
build_operator() {
    local folder
    if has_programs spark-operator; then
        return
    fi
    folder=$(operator_folder) || return 1
    CGO_ENABLED=0 go_build "$folder" spark-operator -trimpath \
        -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$SPARK_OPERATOR" ./cmd/operator || return 1
    say "cluster: built the Spark operator $SPARK_OPERATOR"
}

operator_folder() {
    module_folder "github.com/kubeflow/spark-operator/v2@v$SPARK_OPERATOR"
}

# What answers as Google Cloud Storage does.
build_storage() {
    if has_programs fake-gcs-server; then
        return
    fi
    GOBIN=$STATE/bin CGO_ENABLED=0 quiet nice -n 10 go install -ldflags '-s -w' "github.com/fsouza/fake-gcs-server@v$FAKE_GCS" || return 1
    say "cluster: built fake-gcs-server $FAKE_GCS"
}

# in_cluster COMMAND…: on the node, in the folder of the caller.
in_cluster() {
    nsenter --target "$(cat "$STATE/cluster/first.pid")" --mount --net --pid --wdns="$PWD" -- "$@"
}

# on_node NAME COMMAND…: starts it there, in the background, with NAME.log.
on_node() {
    in_cluster setsid nice -n 5 "${@:2}" </dev/null >"$STATE/cluster/$1.log" 2>&1 &
    echo $! >"$STATE/cluster/$1.pid"
    # Its end is no news.
    disown
}

# wait_on_node SECONDS NAME COMMAND…: until the command succeeds, or the program NAME has ended.
wait_on_node() {
    local seconds=$1 name=$2
    shift 2
    wait_for "$seconds" "$(cat "$STATE/cluster/$name.pid")" "$@" >/dev/null 2>&1 && return
    tail -n 20 "$STATE/cluster/$name.log" >&2
    fail "cluster: in vain for $seconds s: $*"
}

# start_cluster PORT: starts it, with a node that pulls from the registry at 127.0.0.1:PORT of this machine, and puts a
# `kubectl` that reaches it first on the PATH.
start_cluster() {
    local folder=$STATE/cluster port=$1
    if alive "$(cat "$folder/first.pid" 2>/dev/null)"; then
        fail "cluster: one is running in $folder"
        return 1
    fi
    rm -rf "$folder"
    mkdir -p "$folder/cni" "$folder/registries" "$folder/commands"
    start_namespaces "$folder" "$port" || return 1
    certificates "$folder" || return 1
    configuration "$folder" "127.0.0.1:$port" || return 1
    export KUBECONFIG=$folder/kubeconfig PATH="$folder/commands:$PATH"
    start_control_plane "$folder" || return 1
    start_node "$folder" || return 1
    quiet kubectl apply -f "$CLUSTER_SCRIPTS/cluster.d/coredns.yml" || return 1
    quiet kubectl -n kube-system rollout status deployment/coredns --timeout=90s || return 1
    say "cluster: Kubernetes $KUBERNETES is ready"
}

# What the kubelet, the plugins of the network and containerd keep at places of this machine.
CLUSTER_PLACES=(/var/lib/kubelet /var/lib/cni /var/log/containers /run/containerd)
# What the kubelet sets, which no namespace holds.
CLUSTER_SETTINGS=(kernel.panic kernel.panic_on_oops vm.overcommit_memory)

# start_namespaces FOLDER PORT: the first process is a shell that does nothing but to take in the children that others leave.
start_namespaces() {
    local folder=$1 process
    sysctl "${CLUSTER_SETTINGS[@]}" >"$folder/settings" || return 1
    # shellcheck disable=SC2016 # for the shell that is started
    setsid unshare --net --mount --pid --fork --mount-proc bash -c '
        set -e
        is_up=$1 address=$2
        shift 2
        # The kubelet wants mounts that spread; outside of here they do not.
        mount --make-rshared /
        for place in "$@"; do mkdir -p "$place"; mount -t tmpfs none "$place"; done
        ip link set lo up
        ip link add pods type bridge
        ip address add "$address/24" dev pods
        ip link set pods up
        # To somewhere, before the rules for services are there.
        ip route add 10.96.0.0/16 dev pods
        touch "$is_up"
        while :; do sleep 3600 & wait $!; done' bash "$folder/up" $NODE_ADDRESS "${CLUSTER_PLACES[@]}" </dev/null >"$folder/first.log" 2>&1 &
    process=$!
    wait_for 20 "$process" test -e "$folder/up" || { cat "$folder/first.log" >&2; fail "cluster: no namespaces"; return 1; }
    pgrep --parent "$process" >"$folder/first.pid"
    python3 "$CLUSTER_SCRIPTS/loopback.py" "$(cat "$folder/first.pid")" "$2" </dev/null >"$folder/loopback.log" 2>&1 &
}

# sign FOLDER NAME SUBJECT EXTENSION
sign() {
    openssl req -newkey rsa:2048 -nodes -subj "$3" -keyout "$1/$2.key" -out "$1/$2.csr" &&
        openssl x509 -req -days 2 -in "$1/$2.csr" -CA "$1/ca.crt" -CAkey "$1/ca.key" -CAcreateserial -extfile <(echo "$4") -out "$1/$2.crt"
}

certificates() {
    quiet openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=cluster -keyout "$1/ca.key" -out "$1/ca.crt" &&
        quiet sign "$1" server /CN=server "subjectAltName=IP:$NODE_ADDRESS,IP:$API_ADDRESS,DNS:kubernetes.default.svc" &&
        quiet sign "$1" admin /O=system:masters/CN=admin extendedKeyUsage=clientAuth &&
        quiet openssl genrsa -out "$1/accounts.key" 2048 &&
        quiet openssl rsa -in "$1/accounts.key" -pubout -out "$1/accounts.pub"
}

# configuration FOLDER REGISTRY
configuration() {
    local folder=$1 name
    for name in kubelet.yml containerd.toml; do
        sed "s|FOLDER|$folder|g" "$CLUSTER_SCRIPTS/cluster.d/$name" >"$folder/$name"
    done
    sed "s|FOLDER|$folder|g" "$CLUSTER_SCRIPTS/cluster.d/pods.conflist" >"$folder/cni/pods.conflist"
    # The node speaks plain HTTP with it.
    mkdir -p "$folder/registries/$2"
    echo "[host.\"http://$2\"]" >"$folder/registries/$2/hosts.toml"
    # People and every part of the cluster are the same administrator.
    cat >"$folder/kubeconfig" <<END
apiVersion: v1
kind: Config
current-context: test
contexts:
  - name: test
    context: {cluster: test, user: admin}
clusters:
  - name: test
    cluster: {server: "https://$NODE_ADDRESS:6443", certificate-authority: $folder/ca.crt}
users:
  - name: admin
    user: {client-certificate: $folder/admin.crt, client-key: $folder/admin.key}
END
    # Files that it is given are those of the caller, so only the network is the node's.
    cat >"$folder/commands/kubectl" <<END
#!/bin/sh
exec nsenter --target $(cat "$folder/first.pid") --net -- $STATE/bin/kubectl "\$@"
END
    chmod +x "$folder/commands/kubectl"
}

start_control_plane() {
    local folder=$1
    local keys=(--service-account-key-file "$folder/accounts.pub" --service-account-signing-key-file "$folder/accounts.key")
    local etcd=http://127.0.0.1:2379
    on_node etcd "$STATE/bin/etcd" --data-dir "$folder/etcd" --unsafe-no-fsync \
        --listen-client-urls $etcd --advertise-client-urls $etcd --listen-peer-urls http://127.0.0.1:2380
    on_node apiserver "$STATE/bin/kube-apiserver" --etcd-servers $etcd --authorization-mode RBAC \
        --bind-address $NODE_ADDRESS --advertise-address $NODE_ADDRESS --service-cluster-ip-range 10.96.0.0/16 \
        --tls-cert-file "$folder/server.crt" --tls-private-key-file "$folder/server.key" --client-ca-file "$folder/ca.crt" \
        --kubelet-client-certificate "$folder/admin.crt" --kubelet-client-key "$folder/admin.key" \
        --kubelet-preferred-address-types InternalIP --service-account-issuer https://kubernetes.default.svc "${keys[@]}"
    wait_on_node 90 apiserver kubectl get --raw /readyz || return 1
    on_node controllers "$STATE/bin/kube-controller-manager" --kubeconfig "$KUBECONFIG" --leader-elect=false \
        --bind-address 127.0.0.1 --root-ca-file "$folder/ca.crt" --service-account-private-key-file "$folder/accounts.key"
    on_node scheduler "$STATE/bin/kube-scheduler" --kubeconfig "$KUBECONFIG" --leader-elect=false --bind-address 127.0.0.1
    on_node proxy "$STATE/bin/kube-proxy" --kubeconfig "$KUBECONFIG" --hostname-override node --proxy-mode iptables \
        --cluster-cidr 10.244.0.0/24 --iptables-localhost-nodeports=false --conntrack-max-per-core 0 \
        --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0 \
        --healthz-bind-address 127.0.0.1 --metrics-bind-address 127.0.0.1
}

start_node() {
    local folder=$1
    on_node containerd containerd --config "$folder/containerd.toml"
    wait_on_node 30 containerd in_cluster ctr --address "$folder/containerd.sock" version || return 1
    node_image pause && node_image coredns || return 1
    on_node kubelet "$STATE/bin/kubelet" --kubeconfig "$KUBECONFIG" --config "$folder/kubelet.yml" --root-dir "$folder/kubelet" \
        --cert-dir "$folder/kubelet-certificates" --hostname-override node --node-ip $NODE_ADDRESS
    wait_on_node 90 kubelet kubectl wait --for=condition=Ready node/node --timeout=1s
}

# node_image PROGRAM: an image with this program and nothing else, on the node.
node_image() {
    local reference=localhost/$1:built
    tar -C "$STATE/bin" -c "$1" | docker import --change "ENTRYPOINT [\"/$1\"]" - "$reference" >/dev/null || return 1
    docker save "$reference" | quiet in_cluster ctr --address "$STATE/cluster/containerd.sock" -n k8s.io images import - || return 1
    quiet docker image rm "$reference"
}

# stop_cluster: ends all its processes and takes away what it had; the programs stay.
stop_cluster() {
    local folder=$STATE/cluster process
    process=$(cat "$folder/first.pid" 2>/dev/null) || return 0
    if alive "$process"; then
        kill -KILL "$process"
        wait_for 30 $$ has_ended "$process" || say "cluster: process $process does not end"
    fi
    # The folders of its cgroups can be removed a moment after their last process.
    wait_for 30 $$ remove_cgroups || say "cluster: cgroups are left below kubepods"
    rmdir "${CLUSTER_PLACES[@]}" 2>/dev/null || true
    quiet sysctl -q -p "$folder/settings" || true
    rm -rf "$folder"
    say "cluster: stopped, and taken away"
}

has_ended() {
    ! alive "$1"
}

# Version 1 of cgroups has one of them below each controller.
remove_cgroups() {
    local folder
    for folder in /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods; do
        [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} + || return 1
    done 2>/dev/null
}
