#!/usr/bin/env bash
# The vendor's guide, "Upgrade Mattermost Server", to the letter, for the Team Edition in /opt. It
# runs as root on the host that is measured: `prepare` is what the guide does while people work,
# `upgrade` what it does from its `systemctl stop` to its `systemctl start`. Argument: the version.
set -euo pipefail

# Steps 1 to 4: download and unpack.
prepare() {
  cd /tmp
  rm -rf mattermost*.gz mattermost-upgrade
  curl -fsSO "https://releases.townsquare.test/$version/mattermost-team-$version-linux-amd64.tar.gz"
  # --no-same-owner: as root, tar would keep the builder's.
  tar -xf mattermost*.gz --no-same-owner --transform='s,^[^/]\+,\0-upgrade,'
}

upgrade() {
  # 5: stop.
  systemctl stop mattermost
  # 6 a: "your organization's standard procedures for backing up the database".
  cd /tmp
  runuser -u postgres -- pg_dump -Fc mattermost >/opt/mattermost.dump
  # 6 b: the application, with its data.
  cd /opt
  cp -ra mattermost/ "mattermost-back-$(date +'%F-%H-%M-%S')/"
  # 7: remove everything but data and what was added by plugins.
  find mattermost/ mattermost/client/ -mindepth 1 -maxdepth 1 \! \( -type d \( -path mattermost/client -o -path mattermost/client/plugins -o -path mattermost/config -o -path mattermost/logs -o -path mattermost/plugins -o -path mattermost/data \) -prune \) | sort | xargs rm -r
  # 8 and 9: the new files, and whose they are.
  cp -an /tmp/mattermost-upgrade/. mattermost/
  chown -R mattermost:mattermost mattermost
  # 10 is not needed: nothing listens below port 1024. 11: start.
  systemctl start mattermost
}

version=$1
