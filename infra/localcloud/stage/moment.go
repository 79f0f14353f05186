package stage

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Moment is a scene that a test makes for itself.
type Moment struct {
	stage   *Stage
	scene   scene
	version string // that serves there
}

// Moment makes, unless a kept cloud has it already, the moment called name out of an earlier one (nil:
// that of Fresh): change does to the server what is to be there, and leaves version serving.
func (s *Stage) Moment(ctx context.Context, name, version string, earlier *Moment, change func(context.Context, *Server) error) (*Moment, error) {
	cloud, err := s.Cloud()
	if err != nil {
		return nil, err
	}
	m := &Moment{stage: s, version: version}
	m.scene.dir = filepath.Join(cloud.Dir, "scenes", name)
	if err := m.scene.load(); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	if earlier == nil {
		if err := s.Prepare(ctx); err != nil {
			return nil, err
		}
		earlier = &Moment{stage: s, version: Before, scene: scene{dir: s.before.dir, People: s.before.People, Outputs: s.before.Outputs}}
	}
	server, err := earlier.Rewind(ctx)
	if err != nil {
		return nil, err
	}
	if err := change(ctx, server); err != nil {
		return nil, err
	}
	m.scene.People, m.scene.Outputs = server.People, server.Outputs
	return m, m.scene.take(ctx, server)
}

// Rewind takes the server to the moment and waits until it serves.
func (m *Moment) Rewind(ctx context.Context) (*Server, error) {
	return m.stage.rewind(ctx, &m.scene, m.version)
}

// take switches the server off and keeps it as the scene.
func (sc *scene) take(ctx context.Context, server *Server) error {
	if err := server.Machine.PowerOff(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(sc.dir); err != nil { // of a run that was killed in the middle
		return err
	}
	if err := server.Machine.Snapshot(ctx, sc.dir); err != nil {
		return err
	}
	return sc.save()
}
