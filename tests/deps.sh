#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Install the Debian packages that are missing:
# deps.sh [build] [run] [test] [bench]
#
# When nothing is missing it only looks, in well under a second. Otherwise it
# uses apt-get, through sudo unless it runs as root. Servers that come with a
# package are not started: the tests start their own.
set -euo pipefail

build=(
    gcc libc6-dev make pkg-config
    libev-dev libssl-dev libyaml-dev libc-ares-dev uthash-dev
    libpaho-mqtt-dev
    scdoc
)
# The demo, and its broker.
# shellcheck disable=SC2034 # these are read by name
run=(python3 mosquitto)
# shellcheck disable=SC2034
test=(
    # unit tests, fuzzers, checks
    libcmocka-dev clang libclang-rt-dev clang-format clang-tidy cppcheck
    yamllint man-db
    # end to end
    git openssl procps iproute2 curl command:promtool=prometheus
    python3 python3-pytest python3-pytest-xdist python3-yaml
    python3-websockets python3-wsproto python3-autobahn python3-jsonschema
    command:node=nodejs command:npm=npm
    # real services, and the programs that speak to them
    openssh-server openssh-client socat
    redis-server redis-tools postgresql
    ngircd mosquitto-clients python3-paho-mqtt inetutils-telnetd
    # browsers, and a screen to look at with one
    chromium firefox-esr novnc tigervnc-standalone-server x11-xserver-utils
)
# What gangway is measured beside.
# shellcheck disable=SC2034
bench=(
    python3 openssl
    haproxy nginx libnginx-mod-stream socat
    websockify lighttpd lighttpd-mod-openssl websocketd mosquitto
)

# Package of an item that is not there; nothing if it is. "command:NAME=PKG"
# is satisfied by the command alone, wherever it came from.
missing() {
    local item
    for item in "$@"; do
        case $item in
        command:*)
            local name=${item#command:}
            command -v "${name%%=*}" >/dev/null || echo "${name#*=}"
            ;;
        *) [[ " $installed " == *" $item "* ]] || echo "$item" ;;
        esac
    done
}

wanted=()
for set in "${@:-build}"; do
    declare -n items=$set
    wanted+=("${items[@]}")
done

if ! command -v dpkg-query >/dev/null; then
    echo "not a Debian system; needed are: ${wanted[*]}" >&2
    exit 0
fi

# Packages that are there, and what they provide (pkgconf is pkg-config).
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' |
    sed -n 's/^installed //p' | sed 's/([^)]*)//g; s/,//g' | tr '\n' ' ')
mapfile -t absent < <(missing "${wanted[@]}")
((${#absent[@]})) || exit 0

echo "installing: ${absent[*]}"
as_root=()
if ((EUID != 0)); then
    as_root=(sudo)
    command -v sudo >/dev/null || {
        echo "as root, run: apt-get install ${absent[*]}" >&2
        exit 1
    }
fi

# While packages are unpacked, answer 101 to "may this service start?".
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
fi

"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${absent[@]}"
