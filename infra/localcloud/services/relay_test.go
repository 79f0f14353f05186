package services

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What is signed arrives as it was sent, and nothing is ever written.
func TestRelay(t *testing.T) {
	outside := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "https://elsewhere.example.com/there", http.StatusFound)
		case "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		default:
			w.Header().Set("ETag", `"1"`)
			_, _ = io.WriteString(w, strings.Join([]string{r.Method, r.Host, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Range")}, " "))
		}
	}))
	defer outside.Close()
	r := newRelay()
	r.client.Transport = &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, kind, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, kind, outside.Listener.Addr().String())
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the test's certificate has other names
	}
	here := httptest.NewTLSServer(r)
	defer here.Close()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, kind, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, kind, here.Listener.Addr().String())
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	ask := func(method, path string) (int, string, error) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, "https://store.example.com"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "AWS4-HMAC-SHA256")
		request.Header.Set("Range", "bytes=0-9")
		answer, err := client.Do(request)
		if err != nil {
			return 0, "", err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		return answer.StatusCode, string(body), err
	}
	const path = "/bucket/a%2Fb?list-type=2&prefix=x%20y"
	if code, body, err := ask("GET", path); err != nil || code != 200 || body != "GET store.example.com "+path+" AWS4-HMAC-SHA256 bytes=0-9" {
		t.Errorf("%d %q %v", code, body, err)
	}
	if _, body, _ := ask("GET", "/moved"); !strings.HasPrefix(body, "GET elsewhere.example.com /there ") {
		t.Errorf("a redirection leads to %q", body)
	}
	if code, body, err := ask("GET", "/cut"); err == nil {
		t.Errorf("an answer that was cut off seems whole: %d %q", code, body)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		if code, body, _ := ask(method, "/bucket/locks/1"); code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d %s", method, code, body)
		}
	}
}
