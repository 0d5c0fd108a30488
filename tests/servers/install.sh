#!/bin/sh
# Debian's packages of the servers that tests start; nothing is done for those that are there.
set -eu
packages=""
want() { # PROGRAM PACKAGE
    PATH="$PATH:/usr/sbin:$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')" command -v "$1" >/dev/null || packages="$packages $2"
}
want mariadbd mariadb-server
want mariadb-dump mariadb-client
want postgres postgresql
want sshd openssh-server
want ssh-keygen openssh-client
want dockerd docker.io
want docker-compose docker-compose
want debootstrap debootstrap
want etcd etcd-server
[ -n "$packages" ] || exit 0
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list
apt-get install -qq --no-install-recommends $packages >/dev/null
