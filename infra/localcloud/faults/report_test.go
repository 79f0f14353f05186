//go:build machine

package faults

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"text/tabwriter"
	"time"
)

// row is how one case went.
type row struct {
	number int
	name   string
	hit    string // by the run's own log, the phase that the fault came in; of a bad release, the one that failed, if any
	code   int    // the operator's exit code; -1: the operator was killed
	ended  string // the version that served without anybody's help
	outage time.Duration
	posts  int // acknowledged
	files  int
	lost   int
	took   time.Duration
	failed bool
}

type report struct {
	mu   sync.Mutex
	rows []row
}

func (r *report) add(one row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, one)
	verdict := "ok  "
	if one.failed {
		verdict = "FAIL"
	}
	fmt.Printf("%s  %-48s %-28s %-7s away %6.2f s  %4d posts %3d files  lost %d  %v\n", verdict, one.name, one.hit, one.ended,
		one.outage.Seconds(), one.posts, one.files, one.lost, one.took.Round(time.Second))
}

// tablePath is where the table is kept for whoever looks later, in the tree's root.
const tablePath = "bin/faults.txt"

// write prints the table, and keeps it in a file.
func (r *report) write(out io.Writer, root string, took time.Duration) error {
	if len(r.rows) == 0 {
		return nil
	}
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "CASE\tHIT\tEXIT\tENDED ON\tOUTAGE\tPOSTS\tFILES\tLOST\tTOOK\t")
	var posts, files, lost, failed int
	for _, one := range r.rows {
		verdict := ""
		if one.failed {
			verdict, failed = "FAILED", failed+1
		}
		code := fmt.Sprint(one.code)
		if one.code < 0 {
			code = "killed"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.2f s\t%d\t%d\t%d\t%.0f s\t%s\n", one.name, one.hit, code, one.ended, one.outage.Seconds(),
			one.posts, one.files, one.lost, one.took.Seconds(), verdict)
		posts, files, lost = posts+one.posts, files+one.files, lost+one.lost
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(&text, "\n%d cases, %d failed; %d posts and %d files acknowledged, %d lost; %v in all\n",
		len(r.rows), failed, posts, files, lost, took.Round(time.Second))
	if _, err := out.Write(text.Bytes()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, tablePath), text.Bytes(), 0o644)
}
