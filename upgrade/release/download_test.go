package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// answers gives one handler after another for a path, and the file itself after the last.
func answers(v *vendor, path string, handlers ...http.HandlerFunc) {
	var n int
	v.fault(path, func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		i := n
		n++
		v.mu.Unlock()
		if i < len(handlers) && handlers[i] != nil {
			handlers[i](w, r)
			return
		}
		v.mu.Lock()
		body := v.files[path]
		v.mu.Unlock()
		serve(w, r, body)
	})
}

// cutter passes n bytes of an answer on and then cuts the connection.
type cutter struct {
	http.ResponseWriter
	n int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) >= c.n {
		c.ResponseWriter.Write(p[:c.n])
		http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	c.n -= len(p)
	return c.ResponseWriter.Write(p)
}

func cutAfter(n int, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { serve(&cutter{w, n}, r, body) }
}

// A download survives what networks do; each case says which ranges must have been asked for.
func TestDownloadFaults(t *testing.T) {
	body, other := content(1<<20), content(1<<20)
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, test := range map[string]struct {
		answers []http.HandlerFunc
		ranges  string // of each request; "-" for none
	}{
		"no fault":                 {nil, "-"},
		"cut in the middle":        {[]http.HandlerFunc{cutAfter(500_000, body)}, "- 500000"},
		"cut again and again":      {[]http.HandlerFunc{cutAfter(1000, body), cutAfter(1000, body), cutAfter(1000, body), cutAfter(1000, body), cutAfter(1000, body), cutAfter(1000, body)}, "- 1000 2000 3000 4000 5000 6000"},
		"connection lost":          {[]http.HandlerFunc{abort, abort}, "- - -"},
		"server broken for a time": {[]http.HandlerFunc{status(502), status(503), status(500)}, "- - - -"},
		"asked too often":          {[]http.HandlerFunc{status(429)}, "- -"},
		"broken after a cut":       {[]http.HandlerFunc{cutAfter(7000, body), status(502), abort}, "- 7000 7000 7000"},
		"file changed meanwhile":   {[]http.HandlerFunc{cutAfter(7000, other)}, "- 7000"},
		"range not satisfiable":    {[]http.HandlerFunc{cutAfter(7000, body), status(416)}, "- 7000 -"},
		"range of elsewhere": {[]http.HandlerFunc{cutAfter(7000, body), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-9/1048576")
			w.WriteHeader(206)
		}}, "- 7000 -"},
		"range of another size": {[]http.HandlerFunc{cutAfter(7000, body), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 7000-9000/9001")
			w.WriteHeader(206)
		}}, "- 7000 -"},
		"range without size": {[]http.HandlerFunc{cutAfter(7000, body), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 7000-1048575/*")
			w.WriteHeader(206)
			w.Write(body[7000:])
		}}, "- 7000"},
		"no ranges at all": {[]http.HandlerFunc{cutAfter(7000, body), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.Write(body)
		}}, "- 7000"},
		"weak ETag": {[]http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `W/"x"`)
			w.Header().Set("Last-Modified", "Mon, 02 Mar 2026 10:00:00 GMT")
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.Write(body[:7000])
			panic(http.ErrAbortHandler)
		}}, "- 7000"},
		"unknown size": {[]http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			w.Write(body[:9000])
			http.NewResponseController(w).Flush()
			w.Write(body[9000:])
		}}, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			r, c := v.publish(t, "9.10.0", body), v.client(t)
			path := "/9.10.0/" + r.Name()
			answers(v, path, test.answers...)
			file := must(c.Fetch(t.Context(), r, nil))(t)
			if got := must(os.ReadFile(file))(t); !bytes.Equal(got, body) {
				t.Error("the file is not what the server has")
			}
			var ranges []string
			for _, req := range v.asked(path) {
				from, _ := strings.CutPrefix(strings.TrimSuffix(req.Header.Get("Range"), "-"), "bytes=")
				if from == "" {
					from = "-"
				} else if req.Header.Get("If-Range") == "" {
					t.Error("a range was asked for without If-Range")
				}
				ranges = append(ranges, from)
			}
			if got := strings.Join(ranges, " "); got != test.ranges {
				t.Errorf("ranges %q, want %q", got, test.ranges)
			}
		})
	}
}

// When nothing more comes, what came is kept, and the next run takes it up.
func TestDownloadGivesUpAndGoesOn(t *testing.T) {
	v := newVendor(t)
	body := content(100_000)
	r, c := v.publish(t, "9.10.0", body), v.client(t)
	path := "/9.10.0/" + r.Name()
	broken := func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	answers(v, path, cutAfter(40_000, body), broken, broken, broken, broken)
	_, err := c.Fetch(t.Context(), r, nil)
	var truncated *TruncatedError
	if !errors.As(err, &truncated) || truncated.Got != 40_000 || truncated.Want != 100_000 || truncated.Unwrap() == nil {
		t.Fatalf("error %v, want a TruncatedError", err)
	}
	if !strings.Contains(truncated.Hint(), "goes on where it stopped") {
		t.Errorf("hint %q", truncated.Hint())
	}
	if got := files(t, c); got != r.Name()+unverified+" "+r.Name()+unverified+noteEnd {
		t.Errorf("files %q: a partial download must not have the final name", got)
	}
	v.fault(path, nil)
	must(c.Fetch(t.Context(), r, nil))(t)
	if asked := v.asked(path); asked[len(asked)-1].Header.Get("Range") != "bytes=40000-" {
		t.Errorf("the next run asked for %q", asked[len(asked)-1].Header.Get("Range"))
	}
}

// A partial file that cannot be trusted to be part of the same archive is not gone on with.
func TestDownloadLeftovers(t *testing.T) {
	body := content(50_000)
	for name, test := range map[string]struct {
		part string
		note func(url string) string
		from string
	}{
		"of this archive":  {"", func(u string) string { return fmt.Sprintf(`{"url":%q,"validator":"%%s","total":50000}`, u) }, "bytes=20000-"},
		"of another":       {"", func(string) string { return `{"url":"https://y","validator":"%s","total":50000}` }, ""},
		"no validator":     {"", func(u string) string { return fmt.Sprintf(`{"url":%q,"total":50000}`, u) }, ""},
		"no note":          {"", nil, ""},
		"note damaged":     {"", func(string) string { return `{"url` }, ""},
		"longer than all":  {"", func(u string) string { return fmt.Sprintf(`{"url":%q,"validator":"%%s","total":100}`, u) }, ""},
		"an older version": {"", func(u string) string { return fmt.Sprintf(`{"url":%q,"validator":"\"old\"","total":50000}`, u) }, "bytes=20000-"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			r, c := v.publish(t, "9.10.0", body), v.client(t)
			path := "/9.10.0/" + r.Name()
			resp := must(v.Client().Get(r.URL))(t)
			resp.Body.Close()
			if err := os.MkdirAll(c.downloads(), 0o700); err != nil {
				t.Fatal(err)
			}
			part := filepath.Join(c.downloads(), r.Name()+unverified)
			if err := os.WriteFile(part, body[:20_000], 0o600); err != nil {
				t.Fatal(err)
			}
			if test.note != nil {
				note := strings.ReplaceAll(test.note(r.URL), "%s", strings.ReplaceAll(resp.Header.Get("ETag"), `"`, `\"`))
				if err := os.WriteFile(part+noteEnd, []byte(note), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			must(c.Fetch(t.Context(), r, nil))(t)
			if asked := v.asked(path); asked[1].Header.Get("Range") != test.from {
				t.Errorf("asked for %q, want %q", asked[1].Header.Get("Range"), test.from)
			}
		})
	}
}

// Half of the archive is right and half of it another one's: the checksum finds it, and the file goes.
func TestDownloadSplicedFile(t *testing.T) {
	v := newVendor(t)
	body := content(50_000)
	r, c := v.publish(t, "9.10.0", body), v.client(t)
	answers(v, "/9.10.0/"+r.Name(), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", v.etag(body))
		w.Header().Set("Content-Length", "50000")
		w.Write(bytes.Repeat([]byte("x"), 20_000))
		panic(http.ErrAbortHandler)
	})
	if _, err := c.Fetch(t.Context(), r, nil); !isError[*HashError](err) {
		t.Fatalf("error %v, want a HashError", err)
	}
	if got := files(t, c); got != "" {
		t.Errorf("files %q", got)
	}
	must(c.Fetch(t.Context(), r, nil))(t)
}

func (v *vendor) etag(body []byte) string {
	w := &headerOnly{http.Header{}}
	serve(w, &http.Request{Method: "HEAD"}, body)
	return w.Header().Get("ETag")
}

type headerOnly struct{ h http.Header }

func (w *headerOnly) Header() http.Header         { return w.h }
func (w *headerOnly) Write(p []byte) (int, error) { return len(p), nil }
func (w *headerOnly) WriteHeader(int)             {}

func TestDownloadTooLarge(t *testing.T) {
	v := newVendor(t)
	r, c := v.publish(t, "9.10.0", content(10)), v.client(t)
	v.fault("/9.10.0/"+r.Name(), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(archiveMax+1))
		w.Write([]byte("x"))
	})
	_, err := c.Fetch(t.Context(), r, nil)
	if size := new(SizeError); !errors.As(err, &size) || size.Hint() == "" {
		t.Errorf("error %v, want a SizeError", err)
	}
}

// A server that stops sending is noticed, and the download goes on from there.
func TestDownloadStalls(t *testing.T) {
	v := newVendor(t)
	body := content(50_000)
	r, c := v.publish(t, "9.10.0", body), v.client(t)
	c.Stall = 50 * time.Millisecond
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	path := "/9.10.0/" + r.Name()
	answers(v, path, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("ETag", v.etag(body))
		w.Header().Set("Content-Length", "50000")
		w.Write(body[:30_000])
		http.NewResponseController(w).Flush()
		select {
		case <-done:
		case <-req.Context().Done():
		}
	})
	must(c.Fetch(t.Context(), r, nil))(t)
	if asked := v.asked(path); len(asked) != 2 || asked[1].Header.Get("Range") != "bytes=30000-" {
		t.Errorf("%d requests", len(asked))
	}
}

// Ended by its caller, a fetch stops at once, says why, and leaves what came for the next one.
func TestFetchCancelled(t *testing.T) {
	v := newVendor(t)
	body := content(4 << 20)
	r, c := v.publish(t, "9.10.0", body), v.client(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the lock was lost")
	path := "/9.10.0/" + r.Name()
	answers(v, path, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("ETag", v.etag(body))
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body[:1<<20])
		http.NewResponseController(w).Flush()
		<-req.Context().Done()
	})
	_, err := c.Fetch(ctx, r, func(done, _ int64) {
		if done > 0 {
			cancel(why)
		}
	})
	if !errors.Is(err, why) {
		t.Fatalf("error %v, want %v", err, why)
	}
	if !strings.Contains(files(t, c), unverified) {
		t.Error("what was downloaded is gone")
	}
	must(c.Fetch(t.Context(), r, nil))(t)
	if asked := v.asked(path); asked[1].Header.Get("Range") == "" {
		t.Error("the next run began at the start")
	}
	// Once it is there, the same end comes while it is being verified.
	ctx, cancel = context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := c.Fetch(ctx, r, nil); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
	if got := files(t, c); got != r.Name() {
		t.Errorf("files %q", got)
	}
}
