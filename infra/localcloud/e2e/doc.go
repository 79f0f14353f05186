// Package e2e proves the whole product on real machines: the real Pulumi engine makes a server, the
// upgrader that an operator would type takes real Mattermost releases onto it and off it. What can go
// wrong meanwhile is the matter of package faults. Nothing here knows the inside of
// upgrade or infra: it types commands, visits the public address and looks at the machine.
//
// The tests are behind the build tag machine; `make test-machine` builds what they need and runs
// them as root.
package e2e
