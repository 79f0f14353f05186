package mirror

import (
	"io"
	"net/http"
	"time"
)

// corruptReader is its content with one byte changed.
type corruptReader struct {
	io.ReadSeeker
	at  int64
	pos int64
}

func (c *corruptReader) Seek(offset int64, whence int) (int64, error) {
	pos, err := c.ReadSeeker.Seek(offset, whence)
	c.pos = pos
	return pos, err
}

func (c *corruptReader) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	if i := c.at - c.pos; i >= 0 && i < int64(n) {
		p[i] ^= 0xff
	}
	c.pos += int64(n)
	return n, err
}

// shortReader is the beginning of its content.
type shortReader struct {
	io.ReadSeeker
	size int64
	pos  int64
}

func (s *shortReader) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		offset, whence = s.size+offset, io.SeekStart
	}
	pos, err := s.ReadSeeker.Seek(offset, whence)
	s.pos = pos
	return pos, err
}

func (s *shortReader) Read(p []byte) (int, error) {
	left := s.size - s.pos
	if left <= 0 {
		return 0, io.EOF
	}
	n, err := s.ReadSeeker.Read(p[:min(int64(len(p)), left)])
	s.pos += int64(n)
	return n, err
}

// countingWriter remembers what was answered.
type countingWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (c *countingWriter) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *countingWriter) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

func (c *countingWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// impede wraps w in the faults that happen while the body is sent.
func impede(w http.ResponseWriter, r *http.Request, faults []Fault) http.ResponseWriter {
	for _, f := range faults {
		switch f.Kind {
		case Slow:
			w = &slowWriter{ResponseWriter: w, r: r, rate: f.Rate}
		case Cut:
			w = &cutWriter{ResponseWriter: w, left: f.Bytes}
		}
	}
	return w
}

// slowWriter sends rate bytes a second, in twenty pieces.
type slowWriter struct {
	http.ResponseWriter
	r    *http.Request
	rate int64
}

func (s *slowWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *slowWriter) Write(p []byte) (written int, err error) {
	const pause = time.Second / 20
	piece := int(max(s.rate/20, 1))
	for len(p) > 0 {
		n, err := s.ResponseWriter.Write(p[:min(piece, len(p))])
		written += n
		if err != nil {
			return written, err
		}
		p = p[n:]
		if err := http.NewResponseController(s.ResponseWriter).Flush(); err != nil {
			return written, err
		}
		select {
		case <-s.r.Context().Done():
			return written, s.r.Context().Err()
		case <-time.After(pause):
		}
	}
	return written, nil
}

// cutWriter breaks the connection after a number of bytes, which the client does receive.
type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (c *cutWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *cutWriter) Write(p []byte) (int, error) {
	if int64(len(p)) < c.left {
		n, err := c.ResponseWriter.Write(p)
		c.left -= int64(n)
		return n, err
	}
	c.ResponseWriter.Write(p[:c.left])
	http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}
