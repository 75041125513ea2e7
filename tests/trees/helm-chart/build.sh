#!/bin/sh
set -e
REGISTRY=harbour.example/freight
VERSION=$(git describe --tags)
docker build -f docker/base/Dockerfile -t $REGISTRY/base:1.4 .
docker build -f docker/tariffs/Dockerfile -t $REGISTRY/tariffs:$VERSION .
docker push $REGISTRY/base:1.4 && docker push $REGISTRY/tariffs:$VERSION
