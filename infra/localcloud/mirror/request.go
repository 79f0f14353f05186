package mirror

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Request is one line of RequestsFile: what somebody asked of the mirror, and what they got. Tests read there that
// a second check was answered with 304, or that a download was resumed.
type Request struct {
	Time        time.Time `json:"time"`
	Method      string    `json:"method"`
	Host        string    `json:"host"`
	Path        string    `json:"path"`
	Range       string    `json:"range,omitempty"`
	IfNoneMatch string    `json:"ifNoneMatch,omitempty"`
	Agent       string    `json:"agent,omitempty"`
	Status      int       `json:"status"` // 0: the connection broke before an answer
	Bytes       int64     `json:"bytes"`  // of the body, as sent
}

// note appends to the file of requests. A test machine's disk being full must not change what is answered, so an
// error is dropped.
func (m *Mirror) note(r *http.Request, status int, bytes int64) {
	line, err := json.Marshal(Request{
		Time: m.now().UTC(), Method: r.Method, Host: r.Host, Path: r.URL.Path, Range: r.Header.Get("Range"),
		IfNoneMatch: r.Header.Get("If-None-Match"), Agent: r.UserAgent(), Status: status, Bytes: bytes,
	})
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(m.dir, RequestsFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.Write(append(line, '\n'))
}

// Requests reads what was asked of the mirror in dir so far, oldest first.
func Requests(dir string) ([]Request, error) {
	f, err := os.Open(filepath.Join(dir, RequestsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []Request
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r Request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			continue // the line that is being written at this moment
		}
		out = append(out, r)
	}
	return out, nil
}
