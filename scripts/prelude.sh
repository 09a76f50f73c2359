# shellcheck shell=bash
# Sourced by the scripts of this folder, after `set -euo pipefail`: the place to
# stand, a clean environment, and how to complain.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
name=scripts/$(basename -- "$0")
cd -- "$root" || exit
umask 022

say() { printf '%s: %s\n' "$name" "$*" >&2; }

die() {
	say "$*"
	exit 1
}

# usage prints the comment at the top of the calling script.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$root/$name"; }

# settle_go makes the go command behave the same on every machine, whatever the
# user's settings, a go.work further up, or a git hook have put around it.
settle_go() {
	command -v go >/dev/null || die "the go command is missing; install Go $(awk '$1 == "go" { print $2 }' go.mod) or later from https://go.dev/dl/"
	# Its caches lie in the home folder; some schedulers start jobs without one.
	[[ -n ${HOME-} ]] || { unset HOME && HOME=~ && export HOME; }
	unset GOOS GOARCH GOARM GO386 GOAMD64 CGO_ENABLED GOEXPERIMENT GODEBUG
	unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX
	export GOFLAGS=-buildvcs=false GOWORK=off LC_ALL=C
}

# forget_network removes what would send a test to a public index, or bend a
# request to the loopback interface through a proxy. Modules must be there
# already: after this the go command downloads nothing.
forget_network() {
	local variable
	for variable in $(compgen -e); do
		case $variable in
		PIP_* | UV_* | CHEESEBOARD_* | *_proxy | *_PROXY) unset "$variable" ;;
		esac
	done
	export GOPROXY=off
}

# need_packages wants programs, each named as PROGRAM=PACKAGE, and installs what is
# missing if this is Debian and the user is root.
need_packages() {
	local pair packages=()
	for pair in "$@"; do
		command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
	done
	((${#packages[@]})) || return 0
	[[ $EUID == 0 && -x /usr/bin/apt-get ]] ||
		die "programs are missing; install the Debian packages ${packages[*]}"
	say "install ${packages[*]}"
	DEBIAN_FRONTEND=noninteractive timeout 300 bash -c \
		'apt-get -q update && apt-get -qy install --no-install-recommends "$@"' install "${packages[@]}" >&2 ||
		die "apt-get did not succeed; install the Debian packages ${packages[*]}"
}
