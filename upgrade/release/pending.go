package release

import (
	"context"
	"errors"
	"io/fs"

	"townsquare/upgrade/problem"
)

var errPending = errors.New("not in this build")

type Catalog struct {
	Releases []Release
	Warnings []string
}

func (cat *Catalog) Find(v Version, e Edition, arch string) (*Release, bool) { return nil, false }

func (r Release) Name() string { return "" }
func (r Release) Dir() string  { return "" }

func (c *Client) Catalog(ctx context.Context) (*Catalog, error) { return nil, errPending }

type Policy struct {
	Edition     Edition
	Track       string
	Skip        map[string]string
	Arch        string
	To          string
	RetryFailed bool
}

type Choice struct {
	Target   *Release
	Next     *Release
	Path     []Version
	UpToDate bool
	Why      string
	Warnings []string
}

type ChoiceError struct {
	Problems problem.List
	Unknown  bool
}

func (e *ChoiceError) Error() string { return e.Problems.Error() }

func Choose(cat *Catalog, current Version, p Policy) (Choice, error) { return Choice{}, errPending }
func Jump(from, to Version) []problem.Problem                        { return nil }
func PostgreSQLMinimum(to Version) int                               { return 0 }
func GlibcMinimum(to Version) (major, minor int)                     { return 0, 0 }
func RefusedSettings(to Version) []Setting                           { return nil }

type Setting struct {
	Key     string
	Refused []string
	Since   Version
	Fix     string
	Source  string
}

func (s Setting) Check(value any, present bool) (problem.Problem, bool) {
	return problem.Problem{}, false
}

func (c *Client) Fetch(ctx context.Context, r Release, progress func(done, total int64)) (string, error) {
	return "", errPending
}

type Manifest struct {
	Archive, SHA256 string
	Size            int64
	Files           []File
}

type File struct {
	Path         string
	Mode         fs.FileMode
	Size         int64
	SHA256, Link string
}

func (m *Manifest) Has(path string) bool { return false }
func Extract(ctx context.Context, archivePath, dest string, progress func(done, total int64)) (*Manifest, error) {
	return nil, errPending
}
func LoadManifest(dest string) (*Manifest, error) { return nil, errPending }
func MarkComplete(dest string, r Release) error   { return errPending }
func IsComplete(dest string) bool                 { return false }
func Remove(dest string) error                    { return errPending }
