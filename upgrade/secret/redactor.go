// Package secret keeps secrets out of everything that is written: a Redactor stands in front of
// each writer and puts Mask in the place of every secret it knows.
package secret

import (
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Mask is what is read instead of a secret.
const Mask = "[secret]"

// shortest is the length below which a value is not looked for: it would be found in words that
// have nothing to do with it.
const shortest = 6

// Redactor knows the secrets of a run. Its methods may be called from several goroutines; secrets
// may be added while writers are in use.
type Redactor struct {
	mu      sync.RWMutex
	secrets []string // the longest first, so that a part never spoils the whole
}

// Add makes the values known, in each form in which they could be written: as they are, as in a
// URL, as in JSON; and of a URL or key=value list with a password, the password alone.
func (r *Redactor) Add(values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range values {
		parts := passwords(v)
		if len(parts) == 0 && strings.Contains(v, "://") {
			continue // an address without a password, such as a socket's, is no secret
		}
		for _, part := range append(parts, v) {
			for _, form := range forms(part) {
				if len(form) >= shortest && !slices.Contains(r.secrets, form) {
					r.secrets = append(r.secrets, form)
				}
			}
		}
	}
	slices.SortFunc(r.secrets, func(a, b string) int { return len(b) - len(a) })
}

// passwords finds those in a database URL or in "user=… password=…".
func passwords(v string) []string {
	var found []string
	if u, err := url.Parse(v); err == nil {
		if p, ok := u.User.Password(); ok {
			found = append(found, p)
			if _, rest, ok := strings.Cut(v, "//"); ok { // as it is written there
				if info, _, ok := strings.Cut(rest, "@"); ok {
					_, raw, _ := strings.Cut(info, ":")
					found = append(found, raw)
				}
			}
		}
		if p := u.Query().Get("password"); p != "" {
			found = append(found, p)
		}
	}
	for field := range strings.FieldsSeq(v) {
		if p, ok := strings.CutPrefix(field, "password="); ok {
			found = append(found, strings.Trim(p, "'"))
		}
	}
	return found
}

func forms(v string) []string {
	quoted, _ := json.Marshal(v)
	return []string{v, url.QueryEscape(v), url.PathEscape(v), strings.Trim(string(quoted), `"`)}
}

// String returns s without the secrets.
func (r *Redactor) String(s string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, secret := range r.secrets {
		s = strings.ReplaceAll(s, secret, Mask)
	}
	return s
}

// Writer returns a writer that passes everything on to w without the secrets, also those that come
// in pieces: an end of what was written that could be the beginning of a secret is held back until
// more comes, or Flush.
func (r *Redactor) Writer(w io.Writer) *Writer { return &Writer{redactor: r, to: w} }

// Writer is made by Redactor.Writer. It may be used from several goroutines.
type Writer struct {
	redactor *Redactor
	mu       sync.Mutex
	to       io.Writer
	held     string
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.redactor.String(w.held + string(p))
	cut := len(text) - w.redactor.open(text)
	w.held = text[cut:]
	if _, err := io.WriteString(w.to, text[:cut]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes what is held back.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.held
	w.held = ""
	_, err := io.WriteString(w.to, text)
	return err
}

// open returns how many bytes at the end of text could be the beginning of a secret.
func (r *Redactor) open(text string) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	longest := 0
	for _, secret := range r.secrets {
		for n := min(len(secret)-1, len(text)); n > longest; n-- {
			if strings.HasSuffix(text, secret[:n]) {
				longest = n
			}
		}
	}
	return longest
}
