package stage

import (
	"sync"
	"testing"
	"time"
)

// Hold is StartUpgrade until its run on the host has come to the point, where do is done; pid is the run's
// process, by this computer's count. As with Strike the run is held meanwhile, unless the point has a
// delay: nothing passes, however slow the computer is. The test fails when the run does not come there.
func (s *Server) Hold(t testing.TB, at Point, do func(p *Process, pid int), arguments ...string) *Process {
	t.Helper()
	over, came, struck := make(chan struct{}), make(chan int, 1), make(chan error, 1)
	goOn := make(chan struct{})
	letGo := sync.OnceFunc(func() { close(goOn) })
	defer letGo()
	go func() {
		struck <- s.Strike(t.Context(), at, over, func(pid int) error {
			came <- pid
			<-goOn
			return nil
		})
	}()
	p := s.StartUpgrade(t.Context(), arguments...)
	select {
	case pid := <-came:
		do(p, pid)
		letGo()
		must(t, <-struck)
	case err := <-struck:
		t.Fatalf("%v\n%s", err, p.Wait())
	case <-p.Ended():
		close(over)
		t.Fatalf("it ended before %q:\n%s", at.Step, p.Wait())
	case <-time.After(Patience):
		t.Fatalf("after %v it has not come to %q", Patience, at.Step)
	}
	return p
}
