package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/google/renameio/v2"
)

const (
	noteEnd     = ".json"  // the file beside a partial download
	archiveMax  = 2 << 30  // bytes; the largest archive of 2026 has 0.5 GB
	spare       = 64 << 20 // bytes to leave free on the disk
	progressGap = 100 * time.Millisecond
	copyPortion = 128 << 10
)

// download is one archive on its way. What was received stays in name, with a note of which file on
// the server it is part of, so that a later run can go on.
type download struct {
	client   *Client
	release  Release
	name     string
	progress func(done, total int64)

	file  *os.File
	have  int64 // bytes in file
	total int64 // 0 when unknown
	note  downloadNote
	told  time.Time
}

// downloadNote says what a partial file is part of. Without a strong validator of the server's there
// is no way to tell whether its file changed, and the download starts again.
type downloadNote struct {
	URL       string `json:"url"`
	Validator string `json:"validator"` // a strong ETag, else the Last-Modified date
	Total     int64  `json:"total"`
}

// errRestart says that what is there is of no use and the download must begin at 0.
var errRestart = errors.New("the file on the server changed")

var contentRange = regexp.MustCompile(`^bytes (\d+)-(\d+)/(\d+|\*)$`)

// run downloads until the file is complete. Faults of the network are tried again; the count of
// attempts starts anew whenever something came.
func (d *download) run(ctx context.Context) error {
	if err := d.open(); err != nil {
		return err
	}
	if err := d.receive(ctx); err != nil {
		d.file.Close() // what was written before the fault is taken up by the next run, or fails its checksum
		return err
	}
	return d.file.Close()
}

func (d *download) receive(ctx context.Context) error {
	pauses := d.client.retries()
	for n, before := 1, d.have; ; n++ {
		err := d.attempt(ctx)
		switch {
		case err == nil:
			d.tell(true)
			return d.file.Sync()
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errRestart):
			if err := d.restart(); err != nil {
				return err
			}
		case !transient(err):
			return err
		}
		if d.have > before {
			n, before = 1, d.have
			pauses.Reset()
		}
		if n >= attempts {
			return d.exhausted(n, err)
		}
		if err := d.client.pause(ctx, pauses, err); err != nil {
			return err
		}
	}
}

func (d *download) exhausted(n int, err error) error {
	if d.have > 0 && d.total > d.have {
		return &TruncatedError{URL: d.release.URL, Got: d.have, Want: d.total, Err: err}
	}
	return exhausted(d.release.URL, n, err)
}

// open takes up what an earlier run left, or begins.
func (d *download) open() error {
	f, err := os.OpenFile(d.name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	d.file = f
	text, err := read(d.name+noteEnd, 64<<10)
	if err == nil {
		err = json.Unmarshal(text, &d.note)
	}
	end, seekErr := f.Seek(0, io.SeekEnd)
	usable := err == nil && d.note.URL == d.release.URL && d.note.Validator != "" && (d.note.Total == 0 || end <= d.note.Total)
	if !usable || seekErr != nil {
		if err := d.restart(); err != nil {
			return errors.Join(err, f.Close())
		}
		return nil
	}
	d.have, d.total = end, d.note.Total
	return nil
}

// restart forgets what was received.
func (d *download) restart() error {
	d.have, d.total, d.note = 0, 0, downloadNote{}
	if err := remove(d.name + noteEnd); err != nil {
		return err
	}
	if err := d.file.Truncate(0); err != nil {
		return err
	}
	_, err := d.file.Seek(0, io.SeekStart)
	return err
}

// attempt makes one request for what is missing and stores what comes.
func (d *download) attempt(ctx context.Context) error {
	if d.total > 0 && d.have == d.total {
		return nil
	}
	ctx, beat, stop := d.client.watch(ctx)
	defer stop()
	req, err := d.client.request(ctx, d.release.URL)
	if err != nil {
		return err
	}
	req.Header.Set("Accept-Encoding", "identity") // the bytes that were signed
	if d.have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.have))
		req.Header.Set("If-Range", d.note.Validator)
	}
	resp, err := d.client.client().Do(req)
	if err != nil {
		return cause(ctx, err)
	}
	defer resp.Body.Close()
	if err := d.accepts(resp); err != nil {
		return err
	}
	if err := d.room(); err != nil {
		return err
	}
	if err := d.copy(alive{resp.Body, beat}); err != nil {
		return cause(ctx, err)
	}
	if d.total > 0 && d.have < d.total {
		return io.ErrUnexpectedEOF
	}
	d.total = d.have
	return nil
}

// accepts reads the answer's header: which part of which file is coming.
func (d *download) accepts(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK: // the whole file: either the first request, or the server's file changed
		if d.have > 0 {
			if err := d.restart(); err != nil {
				return err
			}
		}
		d.total = max(resp.ContentLength, 0)
	case http.StatusPartialContent:
		m := contentRange.FindStringSubmatch(resp.Header.Get("Content-Range"))
		if m == nil || m[1] != strconv.FormatInt(d.have, 10) {
			return errRestart
		}
		if m[3] != "*" {
			total, err := strconv.ParseInt(m[3], 10, 64)
			if err != nil || d.total > 0 && total != d.total {
				return errRestart
			}
			d.total = total
		}
	case http.StatusRequestedRangeNotSatisfiable:
		return errRestart
	default:
		return statusError(resp, d.release.URL)
	}
	if d.total > archiveMax {
		return &SizeError{URL: d.release.URL, Limit: archiveMax}
	}
	return d.remember(resp)
}

// remember notes which file this is a part of, before the first byte of it is stored.
func (d *download) remember(resp *http.Response) error {
	note := downloadNote{URL: d.release.URL, Validator: validator(resp), Total: d.total}
	if note == d.note {
		return nil
	}
	text, err := json.Marshal(note)
	if err != nil {
		return err
	}
	d.note = note
	return renameio.WriteFile(d.name+noteEnd, text, 0o600)
}

// validator is what If-Range may carry: a strong ETag, or a date (RFC 9110, 13.1.5).
func validator(resp *http.Response) string {
	if tag := resp.Header.Get("ETag"); len(tag) > 2 && tag[0] == '"' {
		return tag
	}
	return resp.Header.Get("Last-Modified")
}

// room refuses to fill the disk.
func (d *download) room() error {
	if d.total == 0 {
		return nil
	}
	ask := d.client.Free
	if ask == nil {
		ask = freeBytes
	}
	return hasRoom(ask, d.client.downloads(), uint64(d.total-d.have)+spare)
}

// hasRoom checks that dir has need bytes free. Where the system cannot tell, it is assumed to have.
func hasRoom(ask func(string) (uint64, error), dir string, need uint64) error {
	free, err := ask(dir)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("free space of %s: %w", dir, err)
	}
	if free < need {
		return &SpaceError{Dir: dir, Need: need, Free: free}
	}
	return nil
}

// copy stores a body, telling progress, until its end.
func (d *download) copy(body io.Reader) error {
	buffer := make([]byte, copyPortion)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			if d.have+int64(n) > archiveMax || d.total > 0 && d.have+int64(n) > d.total {
				if err := d.restart(); err != nil {
					return err
				}
				return &SizeError{URL: d.release.URL, Limit: archiveMax}
			}
			if _, err := d.file.Write(buffer[:n]); err != nil {
				return err
			}
			d.have += int64(n)
			d.tell(false)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// tell passes progress on, at most ten times a second.
func (d *download) tell(now bool) {
	if d.progress == nil || !now && time.Since(d.told) < progressGap {
		return
	}
	d.told = time.Now()
	d.progress(d.have, d.total)
}
