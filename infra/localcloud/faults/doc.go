// Package faults is the matrix of what can go wrong in an upgrade: in each phase the upgrader is
// killed, the power cut, the operator's connection lost, the disk filled, the database ended, the
// network cut; and every way in which a release can be bad is tried. Each case is a server of its
// own with somebody writing on it the whole time, and ends well only if Mattermost serves again, on
// the old version or the new one, without anybody's help; if everything that it ever acknowledged is
// there; and if the next upgrade works.
//
// `make faults` runs all of it, CI a third each night (.github/workflows/faults.yml), and `make test` a
// dozen cases.
package faults
