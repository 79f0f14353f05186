package mattermost

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errEnded is what a feed is told when the database takes no more of it.
var errEnded = errors.New("the database has refused what came before")

// play runs, in one transaction as the role, the statement first and the SQL that feed writes, and
// commits when check agrees. After any error all is as it was; one for want of disk space is an ErrNoRoom.
func (d *Database) play(ctx context.Context, first string, feed func(context.Context, io.Writer) error, check func() error) error {
	conn, err := d.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// The text is read by these, whatever the role or the database has set.
		if _, err := tx.Exec(ctx, "set local standard_conforming_strings = on; set local client_encoding = utf8; "+first, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		if err := playFeed(ctx, conn.PgConn(), feed); err != nil {
			return err
		}
		return check()
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "53100" { // disk_full
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	return advised(err)
}

// advised adds what PostgreSQL advises to an error of its own, which has it apart.
func advised(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Hint != "" {
		return fmt.Errorf("%w; PostgreSQL's hint: %s", err, pg.Hint)
	}
	return err
}

// playFeed runs what feed writes; when feed fails, its error is the one that knows why.
func playFeed(ctx context.Context, conn *pgconn.PgConn, feed func(context.Context, io.Writer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read, write := io.Pipe()
	fed := make(chan error, 1)
	go func() {
		err := feed(ctx, write)
		fed <- err
		write.CloseWithError(err)
	}()
	s := &script{conn: conn, in: bufio.NewReaderSize(read, 1<<20)}
	err := s.run(ctx)
	if err == nil {
		return <-fed
	}
	select {
	case e := <-fed: // it ended before
		if e != nil {
			return e
		}
		return err
	default:
	}
	_ = read.CloseWithError(errEnded)
	<-fed //nolint:errcheck // it is only the consequence
	return err
}

// script is SQL as pg_dump and pg_restore write it. It is run without psql, for which a line of it
// could be a command that is run on this host with psql's rights: a backup's text may come from
// anything that could change the database once.
type script struct {
	conn  *pgconn.PgConn
	in    *bufio.Reader
	text  bytes.Buffer // statements that wait to be run
	quote quoting      // at the end of text
}

// What a script may have between two sets of rows; statements are run in parts of about playBytes.
const (
	playBytes = 1 << 20
	textBytes = 64 << 20
)

func (s *script) run(ctx context.Context) error {
	for {
		line, err := s.line()
		if errors.Is(err, io.EOF) && line == "" {
			return s.flush(ctx)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		open := s.quote.open()
		switch {
		case !open && (strings.HasPrefix(line, `\restrict `) || strings.HasPrefix(line, `\unrestrict `)):
			continue // psql's: no other commands of its from here on
		case !open && strings.HasPrefix(line, "COPY ") && strings.HasSuffix(line, " FROM stdin;\n"):
			if err := s.flush(ctx); err != nil {
				return err
			}
			if err := s.rows(ctx, line); err != nil {
				return err
			}
			continue
		case !open && line == "--\n" && s.text.Len() > playBytes: // between two entries
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
		s.text.WriteString(line)
		s.quote.read(line)
		// A setting, as of the encoding, holds for how the text after it is read.
		if !open && strings.HasPrefix(line, "SET ") && !s.quote.open() {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// line reads the next line, its end included.
func (s *script) line() (string, error) {
	var whole []byte
	for {
		part, err := s.in.ReadSlice('\n')
		whole = append(whole, part...)
		if len(whole)+s.text.Len() > textBytes {
			return "", errors.New("the dump has a statement that is too long")
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return string(whole), err
		}
	}
}

func (s *script) flush(ctx context.Context) error {
	if s.text.Len() == 0 {
		return nil
	}
	defer s.text.Reset()
	_, err := s.conn.Exec(ctx, s.text.String()).ReadAll()
	return err
}

// rows sends what follows statement, up to the line that ends it.
func (s *script) rows(ctx context.Context, statement string) error {
	data := &copyData{in: s.in}
	_, err := s.conn.CopyFrom(ctx, data, strings.TrimSpace(statement))
	if data.err != nil && !errors.Is(data.err, io.EOF) {
		return data.err
	}
	return err
}

// copyData reads the rows of a COPY, in PostgreSQL's text format: a line \. is their end.
type copyData struct {
	in    *bufio.Reader
	left  []byte // of the line that is being read
	begun bool   // the line's beginning was read
	err   error
}

func (c *copyData) Read(p []byte) (int, error) {
	for len(c.left) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		part, err := c.in.ReadSlice('\n')
		if !c.begun && string(part) == "\\.\n" {
			c.err = io.EOF
			return 0, io.EOF
		}
		c.begun = !bytes.HasSuffix(part, []byte("\n"))
		switch {
		case errors.Is(err, io.EOF):
			c.err = errors.New("the dump ends in the middle of a table")
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			c.err = err
		}
		if c.err != nil {
			return 0, c.err
		}
		c.left = part
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

// quoting follows where quotes begin and end in SQL.
type quoting struct {
	end    string // what ends the quote that is open; empty when none is
	escape bool   // a backslash in it takes the next character as it is
}

func (q *quoting) open() bool { return q.end != "" }

// read takes the next line.
func (q *quoting) read(line string) {
	for i := 0; i < len(line); i++ {
		c, rest := line[i], line[i:]
		switch {
		case q.end != "" && q.escape && c == '\\':
			i++
		case q.end != "":
			switch {
			case len(q.end) == 1 && strings.HasPrefix(rest, q.end+q.end): // a quote that is doubled stands for itself
				i++
			case strings.HasPrefix(rest, q.end):
				i += len(q.end) - 1
				q.end, q.escape = "", false
			}
		case strings.HasPrefix(rest, "--"):
			return
		case strings.HasPrefix(rest, "/*"):
			q.end = "*/"
			i++
		case c == '\'':
			q.end = "'"
			q.escape = i > 0 && (line[i-1] == 'E' || line[i-1] == 'e') && (i == 1 || !partOfName(line[i-2]))
		case c == '"':
			q.end = `"`
		case c == '$' && (i == 0 || !partOfName(line[i-1])):
			if tag := dollarTag(rest); tag != "" {
				q.end = tag
				i += len(tag) - 1
			}
		}
	}
}

// dollarTag returns the tag, such as $_$, that text begins with.
func dollarTag(text string) string {
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '$':
			return text[:i+1]
		case !partOfName(c), i == 1 && c >= '0' && c <= '9':
			return ""
		}
	}
	return ""
}

func partOfName(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80 || c == '$'
}
