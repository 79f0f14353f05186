#!/bin/sh
# Makes the SSH host key of a stack's server, once, and keeps it in the stack's secret config, so
# that the key is known before the first connection. Prints the public half.
#
#   scripts/new-host-key.sh STACK             refuses if there is one already
#   scripts/new-host-key.sh STACK --replace   for a server that is to be rebuilt
set -eu

usage() {
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

case $# in
1) replace= ;;
2)
	[ "$2" = --replace ] || usage
	replace=yes
	;;
*) usage ;;
esac
stack=$1
case $stack in '' | -*) usage ;; esac
for program in pulumi ssh-keygen; do
	command -v "$program" >/dev/null || {
		echo "$program is not installed or not in PATH" >&2
		exit 1
	}
done
cd "$(dirname "$0")/.."
problem=$(pulumi stack --non-interactive --stack "$stack" 2>&1 >/dev/null) || {
	echo "$problem" >&2
	case $problem in
	*passphrase*) echo "type, and enter the stack's passphrase: read -rs PULUMI_CONFIG_PASSPHRASE && export PULUMI_CONFIG_PASSPHRASE" >&2 ;;
	*"no stack"*) echo "to make it, type: pulumi stack init $stack" >&2 ;;
	esac
	exit 1
}

if pulumi config get townsquare:hostKey --stack "$stack" >/dev/null 2>&1 && [ -z "$replace" ]; then
	echo "stack $stack has a host key already. A new one does not reach a running server, and" >&2
	echo "everybody's pinned key would be wrong. For a server that is to be rebuilt, type:" >&2
	echo "  scripts/new-host-key.sh $stack --replace" >&2
	exit 1
fi

# In memory where there is such a place: the private key is never on a disk in clear.
umask 077
directory=$(mktemp -d -p "$([ -d /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" townsquare.XXXXXXXX)
trap 'rm -rf "$directory"' EXIT
trap 'exit 130' INT TERM
ssh-keygen -q -t ed25519 -N '' -C "townsquare-$stack" -f "$directory/key"
# On stdin, not as an argument, which every user of this machine could read.
pulumi config set --secret townsquare:hostKey --stack "$stack" <"$directory/key"
cut -d ' ' -f 1,2 "$directory/key.pub"
