package mattermost

import "testing"

// A role that may not flush leaves it to one that may, and is no error where there is none.
func TestFlush(t *testing.T) {
	s := startPostgres(t)
	super := s.as(t, "postgres", "postgres")
	super.sql(t, "create role plain login createdb")
	before := super.one(t, "select checkpoint_lsn::text from pg_control_checkpoint()")
	plain := s.as(t, "plain", "postgres")
	a := &Admin{Database: plain, target: "postgres"}
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := super.one(t, "select checkpoint_lsn::text from pg_control_checkpoint()"); now != before {
		t.Fatalf("a role without the right has flushed: %s, %s", before, now)
	}
	super.sql(t, "create table something (n int)", "insert into something values (1)")
	a.super = super
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := super.one(t, "select checkpoint_lsn::text from pg_control_checkpoint()"); now == before {
		t.Error("nothing was flushed")
	}
}
