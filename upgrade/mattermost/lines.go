package mattermost

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/jackc/pgx/v5"
)

// sessionsOf names the databases that the process is connected to as the role. PostgreSQL shows the port
// from which a connection comes, or for a Unix socket the process at its other end. Where something in
// between hides that, such as a pooler, our own connection does not show it either: then it is enough
// that the process is connected to the port that we are, and another session of the role to the database.
func (d *Database) sessionsOf(ctx context.Context, proc Proc, pid int) ([]string, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	type session struct {
		Database   string
		PID, Port  int
		Self, Ours bool
	}
	rows, err := conn.Query(ctx, `select coalesce(datname, ''), pid, coalesce(client_port, 0), pid = pg_backend_pid(), application_name = 'townsquare'
		from pg_stat_activity where usename = session_user`)
	if err != nil {
		return nil, fmt.Errorf("look at the database's sessions: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[session])
	if err != nil {
		return nil, fmt.Errorf("look at the database's sessions: %w", err)
	}
	to, _ := netip.ParseAddrPort(conn.PgConn().Conn().RemoteAddr().String()) // of a Unix socket it has no port
	theirs, err := openLines(proc, pid, to.Port())
	if err != nil {
		return nil, fmt.Errorf("look at the connections of process %d: %w", pid, err)
	}
	mine, err := openLines(procDir, os.Getpid(), to.Port())
	if err != nil {
		return nil, err
	}
	visible := slices.ContainsFunc(all, func(s session) bool { return s.Self && mine.leadTo(s.PID, s.Port) })
	var names []string
	for _, s := range all {
		if !s.Ours && (visible && theirs.leadTo(s.PID, s.Port) || !visible && s.Database == d.Name && theirs.any) {
			names = append(names, s.Database)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// lines are the connections that a process has to a port, or by Unix sockets.
type lines struct {
	ports []int    // its own, of TCP connections
	peers []uint32 // sockets at the other ends of its Unix sockets
	any   bool     // there may be one: which of a process's Unix sockets leads where is not always seen
}

func openLines(proc Proc, pid int, port uint16) (lines, error) {
	inodes, err := proc.sockets(pid)
	if err != nil {
		return lines{}, err
	}
	l := lines{any: port == 0}
	for own, remote := range proc.tcp(pid, inodes) {
		if port != 0 && remote.Port() == port {
			l.ports, l.any = append(l.ports, own), true
		}
	}
	if ends, err := unixPeers(); err == nil { // a kernel that does not show them shows our own neither
		for _, inode := range inodes {
			if end, ok := ends[inode]; ok {
				l.peers = append(l.peers, end)
			}
		}
	}
	return l, nil
}

// leadTo reports whether one of them leads to the PostgreSQL process pid, which sees it come from port;
// -1 is a Unix socket.
func (l lines) leadTo(pid, port int) bool {
	if port > 0 {
		return slices.Contains(l.ports, port)
	}
	theirs, err := procDir.sockets(pid)
	return err == nil && slices.ContainsFunc(theirs, func(inode uint32) bool { return slices.Contains(l.peers, inode) })
}
