#!/bin/sh
# Debian packages that only the heavier suites of .ci/run need. Needs root; safe to repeat.
set -eu

# Ceph: an S3 server in user space. The file systems with reflinks: images of them are mounted.
packages="postgresql qemu-utils e2fsprogs libnbd0 ceph-common ceph-mon ceph-osd radosgw xfsprogs btrfs-progs"
missing=""
for package in $packages; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "$0: these packages are missing and only root can install them:$missing" >&2
    exit 1
fi

# The tests start a server of their own; Debian's must not be started by the package.
mkdir -p /etc/postgresql-common/createcluster.d
echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.d/openvbs-tests.conf
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -qq --yes --no-install-recommends $missing
