package mattermost

import (
	"strings"
	"testing"
)

// A backup is not restored into a schema that holds anything: what another role owns there would stay in its
// way, and what the role owns would be dropped. Members of extensions are no obstacle.
func TestOccupants(t *testing.T) {
	s := startPostgres(t)
	root := s.as(t, "postgres", "postgres")
	root.sql(t, "create role mm login", "create database chat owner mm")
	admin, mm := s.as(t, "postgres", "chat"), s.as(t, "mm", "chat")
	admin.sql(t, "create extension pg_trgm schema public")
	if found, err := mm.Occupants(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("an empty schema holds %q, %v", found, err)
	}
	admin.sql(t, "create table bi_numbers (id int primary key)", "create function of_root() returns int language sql as 'select 1'",
		"create text search configuration simple_cfg (copy = english)")
	mm.sql(t, "create table own (id serial)")
	found, err := mm.Occupants(t.Context())
	want := "function public.of_root(), sequence public.own_id_seq, table public.bi_numbers, table public.own, text search configuration public.simple_cfg"
	if got := strings.Join(found, ", "); err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
}
