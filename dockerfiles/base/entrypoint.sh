#!/bin/bash
# What a container of this image starts with.
#
#   driver ARGUMENT...     spark-submit in client mode: what Spark on Kubernetes asks of a driver's pod,
#                          and what runs a job on one machine (`driver --master 'local[2]' main.py`)
#   executor               an executor that is described by the SPARK_* variables of its pod
#   COMMAND ARGUMENT...    that command
#
# Each runs under tini, so that signals arrive and no zombies stay.
set -euo pipefail

SPARK_HOME=${SPARK_HOME:-/opt/spark}

say() {
    echo "entrypoint: $*" >&2
}

# Java, Hadoop and Python ask the system who they are; a user ID without an account (OpenShift
# picks one at random) has no answer and Spark stops. A wrapper library answers from two copies.
name_the_user() {
    getent passwd "$(id -u)" >/dev/null && return
    local accounts groups
    if ! accounts=$(mktemp 2>/dev/null) || ! groups=$(mktemp 2>/dev/null); then
        say "user ID $(id -u) has no account, and none can be made up: ${TMPDIR:-/tmp} is not writable"
        return
    fi
    cp /etc/passwd "$accounts"
    cp /etc/group "$groups"
    echo "${SPARK_USER_NAME:-spark-$(id -u)}:x:$(id -u):$(id -g):Spark:/tmp:/bin/false" >>"$accounts"
    getent group "$(id -g)" >/dev/null || echo "spark-$(id -g):x:$(id -g):" >>"$groups"
    export LD_PRELOAD=libnss_wrapper.so${LD_PRELOAD:+:$LD_PRELOAD}
    export NSS_WRAPPER_PASSWD=$accounts NSS_WRAPPER_GROUP=$groups
}

# Programs that keep something below the home (Ivy, Python, shells) need one that they can write to.
find_a_home() {
    if [ ! -d "${HOME:-/nonexistent}" ] || [ ! -w "$HOME" ]; then
        export HOME=/tmp
    fi
}

find_java() {
    if [ -z "${JAVA_HOME:-}" ]; then
        local java
        java=$(command -v java) || { say "there is no java, and JAVA_HOME is not set"; exit 127; }
        JAVA_HOME=$(dirname "$(dirname "$(readlink -f "$java")")")
    fi
    export JAVA_HOME
}

# `hadoop classpath` completes a Spark that was built without Hadoop.
find_hadoop() {
    if [ -n "${HADOOP_HOME:-}" ] && [ -z "${SPARK_DIST_CLASSPATH:-}" ]; then
        SPARK_DIST_CLASSPATH=$("$HADOOP_HOME/bin/hadoop" classpath)
        export SPARK_DIST_CLASSPATH
    fi
}

# Settings before jars, so that a mounted core-site.xml wins over one inside a jar; what the job
# adds (SPARK_CLASSPATH is spark.executor.extraClassPath) before what the image holds; last the
# working folder, where files that were sent along appear.
executor_class_path() {
    local entries=(
        "${SPARK_CONF_DIR:-$SPARK_HOME/conf}"
        "${HADOOP_CONF_DIR:-}"
        "${SPARK_CLASSPATH:-}"
        "$SPARK_HOME/jars/*"
        "${SPARK_EXTRA_CLASSPATH:-}"
        "${SPARK_DIST_CLASSPATH:-}"
        "$PWD"
    )
    local path='' entry
    for entry in "${entries[@]}"; do
        # An empty entry would mean the working folder to Java.
        [ -z "$entry" ] || path+=${path:+:}$entry
    done
    echo "$path"
}

# Spark hands each Java option in a variable of its own: SPARK_JAVA_OPT_0, _1 … _10, in that order.
read_java_options() {
    java_options=()
    local number variable
    while read -r number; do
        variable=SPARK_JAVA_OPT_$number
        java_options+=("${!variable}")
    done < <(compgen -v SPARK_JAVA_OPT_ | sed 's/^SPARK_JAVA_OPT_//' | sort -n)
}

driver() {
    local arguments=(--deploy-mode client)
    if [ -n "${SPARK_DRIVER_BIND_ADDRESS:-}" ]; then
        arguments+=(
            --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS"
            --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS"
        )
    fi
    under_tini "$SPARK_HOME/bin/spark-submit" "${arguments[@]}" "$@"
}

executor() {
    local variable missing=()
    for variable in SPARK_DRIVER_URL SPARK_EXECUTOR_ID SPARK_EXECUTOR_CORES SPARK_EXECUTOR_MEMORY \
        SPARK_APPLICATION_ID SPARK_EXECUTOR_POD_IP; do
        [ -n "${!variable:-}" ] || missing+=("$variable")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        say "an executor needs ${missing[*]}: Spark sets them in the pods that it makes"
        exit 64
    fi
    read_java_options
    local arguments=(
        --driver-url "$SPARK_DRIVER_URL"
        --executor-id "$SPARK_EXECUTOR_ID"
        --cores "$SPARK_EXECUTOR_CORES"
        --app-id "$SPARK_APPLICATION_ID"
        --hostname "$SPARK_EXECUTOR_POD_IP"
        --resourceProfileId "${SPARK_RESOURCE_PROFILE_ID:-0}"
    )
    if [ -n "${SPARK_EXECUTOR_POD_NAME:-}" ]; then
        arguments+=(--podName "$SPARK_EXECUTOR_POD_NAME")
    fi
    # The heap gets its full size at once: the pod's limit was computed from it.
    under_tini "$JAVA_HOME/bin/java" "${java_options[@]}" \
        "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
        -cp "$(executor_class_path)" \
        org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend "${arguments[@]}" "$@"
}

# -s: with a process namespace that is shared in the pod tini is not process 1.
under_tini() {
    exec /usr/bin/tini -s -- "$@"
}

name_the_user
find_a_home
case ${1:-} in
driver)
    shift
    find_java
    find_hadoop
    driver "$@"
    ;;
executor)
    shift
    find_java
    find_hadoop
    executor "$@"
    ;;
'')
    say "say what to run: driver ARGUMENT... | executor | COMMAND ARGUMENT..."
    exit 64
    ;;
*)
    under_tini "$@"
    ;;
esac
