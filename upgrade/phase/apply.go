package phase

// Apply is the whole operation: a first installation and every later upgrade. Facts and checks come
// first; from Stop to Open the service is away, and Watch decides whether it was worth it.
func Apply() []Phase { return append(Checks(), Rest()...) }

// Looks finds out what is there and what there is; it changes nothing.
func Looks() []Phase { return []Phase{Facts{}, Choose{}} }

// Checks is Looks and whether the host can take it; it changes nothing.
func Checks() []Phase { return append(Looks(), Preflight{}) }

// Rest is what follows Checks; everything in it is under the host's lock.
func Rest() []Phase {
	return []Phase{
		Lock{},
		Fetch{},
		Grant{},
		Backup{},
		Stop{}, // the service is away from here
		Checkpoint{},
		Swap{},
		Start{},
		Verify{}, // it runs, and nobody but us can reach it
		Open{},   // it is back
		Watch{},
		Commit{},
	}
}
