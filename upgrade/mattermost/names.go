package mattermost

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// maxName is the longest name PostgreSQL keeps whole.
const maxName = 63

// CheckpointName names a copy of database made at t.
func CheckpointName(database string, t time.Time) string { return named(database, "checkpoint", t) }

// FailedName names what a checkpoint replaced at t.
func FailedName(database string, t time.Time) string { return named(database, "failed", t) }

// ScratchName names a database that is looked at and dropped again.
func ScratchName(database string, t time.Time) string { return named(database, "scratch", t) }

// RestoredName names a database that was filled from a backup and waits for its turn.
func RestoredName(database string, t time.Time) string { return named(database, "restored", t) }

// stampFormat is of the moment at a name's end.
const stampFormat = "20060102150405"

// named cuts a name that would be too long, and puts a hash of the whole name in the place of what it
// cut: databases whose names begin alike have copies of different names.
func named(database, kind string, t time.Time) string {
	tail := "_" + kind + "_" + t.UTC().Format(stampFormat)
	if len(database)+len(tail) <= maxName {
		return database + tail
	}
	hash := sha256.Sum256([]byte(database))
	tail = "_" + hex.EncodeToString(hash[:4]) + tail
	return strings.ToValidUTF8(database[:maxName-len(tail)], "") + tail
}

// cutName is named as it was before it had a hash. Records have such names, and a database of one may be
// another's: none is taken for our own unless a record says so.
func cutName(database, kind string, t time.Time) string {
	tail := "_" + kind + "_" + t.UTC().Format(stampFormat)
	return database[:min(len(database), maxName-len(tail))] + tail
}

// made reports whether name is what one of the functions makes of database.
func made(database, name string, by ...func(string, time.Time) string) bool {
	if len(name) < len(stampFormat) {
		return false
	}
	t, err := time.Parse(stampFormat, name[len(name)-len(stampFormat):])
	return err == nil && slices.ContainsFunc(by, func(f func(string, time.Time) string) bool { return name == f(database, t) })
}

// ours reports whether name is one that this program gives, or gave, a database beside database.
func ours(database, name string) bool {
	cut := func(kind string) func(string, time.Time) string {
		return func(database string, t time.Time) string { return cutName(database, kind, t) }
	}
	return made(database, name, CheckpointName, FailedName, ScratchName, RestoredName, cut("checkpoint"), cut("failed"), cut("scratch"), cut("restored"))
}
