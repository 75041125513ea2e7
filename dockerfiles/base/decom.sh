#!/bin/bash
# Called in an executor's pod before it is stopped, when spark.decommission.enabled is set: tells
# the executor to hand over its blocks and to take no more tasks (the signal PWR), and holds the
# pod until it has ended. How long that may take is the pod's terminationGracePeriodSeconds.
set -u

say() {
    echo "decom: $*"
}

# The command line begins with java's path: tini's, which holds the same words, does not.
executor=$(pgrep -o -f '^[^ ]*/java .*(KubernetesExecutorBackend|CoarseGrainedExecutorBackend)') || {
    say "no executor runs here"
    exit 0
}
say "telling the executor (process $executor) to hand over"
kill -s PWR "$executor"
tail --pid="$executor" -f /dev/null
say "the executor has ended"
