#!/bin/sh
export IMAGE=${IMAGE:-quay.example/harbours/tide-tables:$(cat VERSION)}
envsubst < deploy/application.yaml | kubectl apply -f -
