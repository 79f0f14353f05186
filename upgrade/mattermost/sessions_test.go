package mattermost

import (
	"errors"
	"testing"
	"time"
)

// A superuser's session, which the upgrader's role may not end, keeps nobody from a copy on this
// host; elsewhere the copy is given up, for a dump to be made instead.
func TestCopyUnderASuperusersSession(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role app login", "create role upgrader login createdb", "grant app to upgrader", "create database chat owner app")
	session := func() {
		t.Helper()
		conn, err := s.as(t, "postgres", "chat").Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(t.Context()) })
	}
	session()
	name := CheckpointName("chat", time.Now())
	a, err := tryAdmin(t.Context(), s.as(t, "upgrader", "postgres"), s.as(t, "app", "chat"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Checkpoint(t.Context(), name); !errors.Is(err, ErrInUse) {
		t.Errorf("without the superuser: %v", err)
	}
	a.super = root
	if err := a.Checkpoint(t.Context(), name); err != nil {
		t.Error(err)
	}
	session()
	if err := a.PutBack(t.Context(), name, FailedName("chat", time.Now())); err != nil {
		t.Error(err)
	}
}
