#!/bin/sh
# Makes the password that encrypts a stack's backups, once, and keeps it in the stack's secret
# config. To write it down somewhere safe:
#   pulumi config get townsquare:backupPassword --stack STACK
#
#   scripts/new-backup-password.sh STACK      refuses if there is one already
set -eu

if [ $# -ne 1 ]; then
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
stack=$1
command -v pulumi >/dev/null || {
	echo "pulumi is not installed or not in PATH" >&2
	exit 1
}
cd "$(dirname "$0")/.."
problem=$(pulumi stack --non-interactive --stack "$stack" 2>&1 >/dev/null) || {
	echo "$problem" >&2
	case $problem in
	*passphrase*) echo "type, and enter the stack's passphrase: read -rs PULUMI_CONFIG_PASSPHRASE && export PULUMI_CONFIG_PASSPHRASE" >&2 ;;
	*"no stack"*) echo "to make it, type: pulumi stack init $stack" >&2 ;;
	esac
	exit 1
}
if pulumi config get townsquare:backupPassword --stack "$stack" >/dev/null 2>&1; then
	echo "stack $stack has a backup password already; with another one its backups cannot be read" >&2
	exit 1
fi
# 32 random bytes as 64 hex digits, on stdin: an argument could be read by every user.
od -An -N32 -tx1 /dev/urandom | tr -d ' \n' |
	pulumi config set --secret townsquare:backupPassword --stack "$stack"
echo "made. Without it no backup can be read. To see it, and keep a copy outside of this machine and of the stack:"
echo "  pulumi config get townsquare:backupPassword --stack $stack"
