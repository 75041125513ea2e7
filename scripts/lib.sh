# shellcheck shell=bash
# Sets up what the other scripts need: packages, a Docker daemon, a registry, a root image, Python's
# tools, Go. To be sourced; works under `set -euo pipefail`.
#
# Existing things are used and missing ones are made; a daemon or registry that was started can be stopped again.
# Every function prints on stderr one line about what it did; stdout carries only values.
# STATE, a directory that the caller chooses, holds logs, process IDs and the registries' content.

say() {
    echo "$*" >&2
}

# fail MESSAGE: prints it and returns 1, for `|| return 1` or `set -e` to act on.
fail() {
    echo "error: $*" >&2
    return 1
}

state_directory() {
    [ -n "${STATE:-}" ] || fail "set STATE to a directory for logs and process IDs" || return 1
    mkdir -p "$STATE"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root, and there is no sudo: $*"
    fi
}

# alive PID: true also for a process of another user, which `kill -0` denies.
alive() {
    [ -n "${1:-}" ] && [ -d "/proc/$1" ]
}

# wait_for SECONDS PID COMMAND…: true as soon as COMMAND succeeds; false when the process PID has
# ended, or the time is over.
wait_for() {
    local deadline=$((SECONDS + $1)) process=$2
    shift 2
    until "$@"; do
        alive "$process" && [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}

# end_process PID: sends SIGTERM, waits half a minute, sends SIGKILL.
end_process() {
    as_root kill "$1" 2>/dev/null || true
    wait_for 30 "$1" false || true
    if alive "$1"; then
        as_root kill -KILL "$1" 2>/dev/null || true
    fi
}

# need_packages PACKAGE…: installs the missing ones of these Debian packages.
need_packages() {
    local package missing=()
    if ! command -v apt-get >/dev/null; then
        fail "apt-get is missing: install $* in this system's own way"
        return 1
    fi
    for package in "$@"; do
        # shellcheck disable=SC2016 # dpkg-query's own variable
        case $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true) in
        installed) ;;
        *) missing+=("$package") ;;
        esac
    done
    if [ ${#missing[@]} -eq 0 ]; then
        say "packages: $* already installed"
        return
    fi
    if [ -z "${APT_LISTS_ARE_FRESH:-}" ]; then
        quiet as_root apt-get -q -o Acquire::Retries=3 update || return 1
        APT_LISTS_ARE_FRESH=yes
    fi
    quiet as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 \
        -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "${missing[@]}" || return 1
    say "packages: installed ${missing[*]}"
}

# quiet COMMAND…: shows the command's output only if it fails.
quiet() {
    local output status=0
    output=$("$@" 2>&1) || status=$?
    if [ "$status" -ne 0 ]; then
        tail -n 20 <<<"$output" >&2
        fail "failed with status $status: $*"
    fi
}

docker_answers() {
    timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# ensure_dockerd: makes sure that `docker` reaches a daemon. One that answers is used (also by DOCKER_HOST);
# else dockerd is started: at the usual place, or, if DOCKER_HOST names another socket, at that socket
# with its data in STATE. DOCKERD_OPTIONS: more options; do not use --bridge=none beside another daemon,
# since it deletes the docker0 that the other one uses. Sets STARTED_DOCKERD to a process ID.
ensure_dockerd() {
    STARTED_DOCKERD=${STARTED_DOCKERD:-}
    if command -v docker >/dev/null && docker_answers; then
        say "docker: using the daemon that answers at ${DOCKER_HOST:-the usual socket}"
        return
    fi
    state_directory || return 1
    case ${DOCKER_HOST:-unix:///var/run/docker.sock} in
    unix://*) ;;
    *)
        fail "no Docker daemon answers at $DOCKER_HOST, and only one at a local socket can be started from here"
        return 1
        ;;
    esac
    if [ "$(uname -s)" != Linux ]; then
        fail "no Docker daemon answers: start Docker Desktop (or colima) and run this again"
        return 1
    fi
    command -v dockerd >/dev/null || need_packages docker.io || return 1
    # Newer releases of Debian keep the client in a package of its own.
    command -v docker >/dev/null || need_packages docker-cli || return 1
    if docker_answers; then
        say "docker: using the daemon that the package started"
        return
    fi
    : >"$STATE/dockerd.log"
    start_dockerd && return
    say "docker: that did not come up, trying again with the storage driver vfs"
    start_dockerd --storage-driver=vfs && return
    # Its other messages would bury the reason.
    grep -v level=info "$STATE/dockerd.log" | tail -n 15 >&2
    fail "dockerd does not come up; its whole log is $STATE/dockerd.log"
}

# start_dockerd OPTION…: true when it answers within a minute.
start_dockerd() {
    local options=(--pidfile "$STATE/dockerd.pid" "$@") more=() process
    case ${DOCKER_HOST:-unix:///var/run/docker.sock} in
    unix:///var/run/docker.sock | unix:///run/docker.sock) ;;
    *) options+=(-H "$DOCKER_HOST" --data-root "$STATE/docker" --exec-root "$STATE/docker-run") ;;
    esac
    read -r -a more <<<"${DOCKERD_OPTIONS:-}"
    # In a session of its own, because the script's trap still needs the daemon after Ctrl-C.
    as_root setsid dockerd "${options[@]}" "${more[@]}" </dev/null >>"$STATE/dockerd.log" 2>&1 &
    process=$!
    # One with thousands of images and steps in its cache takes more than a minute until it listens.
    if ! wait_for 240 "$process" docker_answers; then
        end_process "$process"
        # A daemon that fails leaves its data mounted on itself, and STATE could not be removed.
        as_root umount "$STATE/docker" 2>/dev/null || true
        return 1
    fi
    STARTED_DOCKERD=$(cat "$STATE/dockerd.pid")
    say "docker: started dockerd (process $STARTED_DOCKERD, log $STATE/dockerd.log)"
}

# stop_dockerd: stops the daemon that ensure_dockerd started, and no other.
stop_dockerd() {
    if ! alive "${STARTED_DOCKERD:-}"; then
        say "docker: nothing to stop"
        return
    fi
    end_process "$STARTED_DOCKERD"
    say "docker: stopped dockerd (process $STARTED_DOCKERD)"
    STARTED_DOCKERD=
}

# ensure_newer_docker [PACKAGE…]: unpacks dockerd and containerd of Debian's newest packages, and those of PACKAGE…, into
# STATE/newer, where nothing else uses them. What else they need (runc, iptables) is this machine's.
ensure_newer_docker() {
    local folder=$STATE/newer mirror options package packages=(docker.io containerd "$@")
    state_directory || return 1
    if newer_packages_are_there "${packages[@]}"; then
        say "newer docker: already in $folder"
        return
    fi
    need_packages debian-archive-keyring runc iptables || return 1
    # shellcheck disable=SC2016 # apt's own variable
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
    [ -n "$mirror" ] || fail "newer docker: apt has no source with Debian's packages" || return 1
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/debs" "$folder/root" || return 1
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$folder/sources.list"
    options=(-q -o Acquire::Retries=3 -o Acquire::Languages=none -o APT::Sandbox::User=root
        -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache")
    quiet apt-get "${options[@]}" update || return 1
    (cd "$folder/debs" && quiet apt-get "${options[@]}" download "${packages[@]}") || return 1
    for package in "$folder"/debs/*.deb; do
        dpkg-deb --extract "$package" "$folder/root" || return 1
    done
    say "newer docker: unpacked $(cd "$folder/debs" && echo ./*.deb) into $folder"
}

newer_packages_are_there() {
    local package
    for package in "$@"; do
        compgen -G "$STATE/newer/debs/${package}_*.deb" >/dev/null || return 1
    done
    [ -x "$STATE/newer/root/usr/sbin/dockerd" ]
}

# start_newer_dockerd STORE: starts that dockerd with STORE (classic or containerd) as its store of images, its own data,
# and a network of its own, which reaches the loopback interface of this machine. Prints its socket.
start_newer_dockerd() {
    local store=$1 base=$STATE/newer/$1 driver
    ensure_newer_docker || return 1
    mkdir -p "$base" || return 1
    for driver in '' "$([ "$store" = containerd ] && echo native || echo vfs)"; do
        newer_configuration "$store" "$driver" >"$base/daemon.json"
        try_newer_dockerd "$base" && echo "$base/docker.sock" && return
    done
    grep -v level=info "$base/log" | tail -n 15 >&2
    fail "newer docker: dockerd with the $store store does not come up; its whole log is $base/log"
}

# newer_configuration STORE DRIVER
newer_configuration() {
    local containerd=false
    [ "$1" != containerd ] || containerd=true
    echo "{\"features\": {\"containerd-snapshotter\": $containerd}${2:+, \"storage-driver\": \"$2\"}}"
}

# try_newer_dockerd BASE: true when it answers within a minute.
try_newer_dockerd() {
    local base=$1 root=$STATE/newer/root process
    # Its namespace of mounts hides the containerd of this machine, which it would use.
    # shellcheck disable=SC2016 # for the shell that is started
    as_root env PATH="$root/usr/bin:$root/usr/sbin:$PATH" setsid unshare --net --mount sh -c '
        ip link set lo up && mkdir -p /run/containerd && mount -t tmpfs none /run/containerd && exec "$@"' sh \
        dockerd --config-file "$base/daemon.json" --pidfile "$base/pid" -H "unix://$base/docker.sock" \
        --data-root "$base/data" --exec-root "$base/run" --iptables=false --ip6tables=false \
        </dev/null >"$base/log" 2>&1 &
    process=$!
    if ! wait_for 60 "$process" newer_answers "$base"; then
        end_process "$process"
        return 1
    fi
    as_root python3 "$(dirname "${BASH_SOURCE[0]}")/loopback.py" "$(cat "$base/pid")" </dev/null >"$base/loopback.log" 2>&1 &
    say "newer docker: started dockerd with ${base##*/} (process $(cat "$base/pid"), log $base/log)"
}

newer_answers() {
    DOCKER_HOST=unix://$1/docker.sock docker_answers
}

# stop_newer_dockerd STORE: stops it and removes its data, if it runs.
stop_newer_dockerd() {
    local base=$STATE/newer/$1 process
    process=$(cat "$base/pid" 2>/dev/null || true)
    alive "$process" || return 0
    end_process "$process"
    as_root rm -rf "$base"
    say "newer docker: stopped dockerd with $1 (process $process)"
}

# registry_answers PORT: true for the status 200, and for 401 from a registry with passwords.
registry_answers() {
    local status
    status=$(
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf 'GET /v2/ HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3
        head -n 1 <&3
    ) 2>/dev/null || return 1
    [[ $status == *" 200 "* || $status == *" 401 "* ]]
}

# ensure_registry NAME PORT [htpasswd USER PASSWORD]: starts a registry at 127.0.0.1 with its content in
# STATE, unless one of this name is running. PORT 0 takes a free port. Prints the port.
ensure_registry() {
    local name=$1 port=$2 authentication=${3:-} user=${4:-} password=${5:-} process
    state_directory || return 1
    local base=$STATE/registry-$name
    if alive "$(cat "$base.pid" 2>/dev/null)"; then
        port=$(cat "$base.port")
        say "registry $name: already at 127.0.0.1:$port"
        echo "$port"
        return
    fi
    command -v docker-registry >/dev/null || need_packages docker-registry || return 1
    registry_configuration "$base" "$port" >"$base.yml"
    case $authentication in
    '') ;;
    htpasswd)
        command -v htpasswd >/dev/null || need_packages apache2-utils || return 1
        htpasswd -Bbn "$user" "$password" >"$base.htpasswd"
        printf 'auth:\n  htpasswd:\n    realm: %s\n    path: %s\n' "$name" "$base.htpasswd" >>"$base.yml"
        ;;
    *)
        fail "registry $name: unknown authentication '$authentication'; htpasswd is the only one"
        return 1
        ;;
    esac
    # Not to the caller's stdout: $(ensure_registry …) would wait for the registry to end.
    setsid docker-registry serve "$base.yml" </dev/null >"$base.log" 2>&1 &
    process=$!
    echo "$process" >"$base.pid"
    if ! wait_for 20 "$process" registry_is_up "$base"; then
        tail -n 10 "$base.log" >&2
        stop_registry "$name"
        fail "registry $name does not come up at port $port; its log is $base.log"
        return 1
    fi
    port=$(cat "$base.port")
    say "registry $name: started at 127.0.0.1:$port (process $process, log $base.log)"
    echo "$port"
}

# registry_configuration BASE PORT
registry_configuration() {
    cat <<END
version: 0.1
log:
  level: info
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: $1
  delete:
    enabled: true
http:
  addr: 127.0.0.1:$2
END
}

# registry_is_up BASE: the port is read from the log, since a free one may have been chosen.
registry_is_up() {
    local port
    port=$(sed -nE 's/.*listening on 127\.0\.0\.1:([0-9]+).*/\1/p' "$1.log" | head -n 1)
    [ -n "$port" ] && registry_answers "$port" && echo "$port" >"$1.port"
}

# stop_registry NAME: its content stays in STATE.
stop_registry() {
    local base=$STATE/registry-$1 process
    process=$(cat "$base.pid" 2>/dev/null || true)
    if [ -z "$process" ]; then
        say "registry $1: nothing to stop"
        return
    fi
    # The ID may belong to another program by now.
    if [ "$(cat "/proc/$process/comm" 2>/dev/null)" = docker-registry ]; then
        end_process "$process"
    fi
    rm -f "$base.pid" "$base.port"
    say "registry $1: stopped"
}

# ensure_root_image REFERENCE [SUITE]: makes sure that the daemon has the image. It is pulled, or, on a machine
# that cannot reach its registry, made of the same distribution's packages (SUITE, bookworm by default).
ensure_root_image() {
    local reference=$1 suite=${2:-bookworm}
    if docker image inspect "$reference" >/dev/null 2>&1; then
        say "root image: $reference is in the daemon"
        return
    fi
    if timeout "${PULL_SECONDS:-45}" docker pull --quiet "$reference" >/dev/null 2>&1; then
        say "root image: pulled $reference"
        return
    fi
    need_packages mmdebstrap debian-archive-keyring || return 1
    # Without manual pages and translations, as slim images are.
    if ! as_root mmdebstrap --quiet --variant=minbase --format=tar \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        "$suite" - | docker import --change 'CMD ["bash"]' - "$reference" >/dev/null; then
        fail "root image: $reference can be neither pulled nor made by mmdebstrap"
        return 1
    fi
    say "root image: $reference cannot be pulled here; this one is a STAND-IN, made by mmdebstrap from Debian's $suite"
}

# ensure_python_tools: makes sure that uv or pip is installed. Sets PYTHON_TOOL to uv or pip.
ensure_python_tools() {
    if command -v uv >/dev/null; then
        PYTHON_TOOL=uv
        say "python: using $(uv --version)"
        return
    fi
    if ! python3 -m pip --version >/dev/null 2>&1 || ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        need_packages python3 python3-pip python3-venv || return 1
    fi
    # shellcheck disable=SC2034 # for the script that sources this file
    PYTHON_TOOL=pip
    say "python: there is no uv, using $(python3 -m pip --version | cut -d ' ' -f 1-2)"
}

# python_environment PACKAGE…: installs the packages into a virtual environment in STATE, and puts it first on the PATH.
python_environment() {
    state_directory || return 1
    python3 -m venv "$STATE/venv" || return 1
    quiet "$STATE/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" || return 1
    export PATH="$STATE/venv/bin:$PATH"
    say "python: $* in $STATE/venv"
}

# empty_folder FOLDER: makes it if it is not there, and prints its whole path; false if something is in it.
empty_folder() {
    mkdir -p "$1" && cd "$1" || return 1
    if [ -n "$(ls -A)" ]; then
        fail "$PWD is not empty: name a folder that is, or one that is not there yet"
        return 1
    fi
    echo "$PWD"
}

# example_with_registry HOST FOLDER: copies the example project there, with its images in this registry.
example_with_registry() {
    mkdir -p "$2" && cp -R "$(dirname "${BASH_SOURCE[0]}")/../example-project/." "$2" || return 1
    rm -rf "$2/dist"
    sed -i "s|127.0.0.1:5000|$1|g" "$2"/sparkpack.toml "$2"/kubernetes/*.yml "$2"/kubernetes/*/*.yml
    git init --quiet "$2"
}

# operator_from PATH FOLDER: the operator's image of the example in FOLDER gets the program at PATH.
operator_from() {
    sed -i -E 's|^image = ".*/spark-operator/.*"|source = "operator"\npath = "/spark-operator"|' "$2/sparkpack.toml"
    printf '\n[sources.operator]\npath = "%s"\n' "$1" >>"$2/sparkpack.toml"
}

# commit_all FOLDER MESSAGE
commit_all() {
    git -C "$1" add --all
    git -C "$1" -c user.name=sparkpack -c user.email=sparkpack@localhost commit --quiet --message "$2"
}

# ensure_go MINOR WHAT: makes sure that there is Go 1.MINOR or newer, which WHAT needs: the one on the PATH, or Debian's.
ensure_go() {
    command -v go >/dev/null || need_packages golang-go || return 1
    local version
    version=$(go env GOVERSION)
    if [[ ! $version =~ ^go1\.([0-9]+) ]] || [ "${BASH_REMATCH[1]}" -lt "$1" ]; then
        fail "go: $2 needs Go 1.$1, this is ${version:-one without a version}: put a newer \`go\` on the PATH"
        return 1
    fi
    say "go: using $version"
}
