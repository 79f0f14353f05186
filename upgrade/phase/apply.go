package phase

// Apply is the whole operation: a first installation and every later upgrade. Facts and checks come
// first; from Stop to Open the service is away, and Watch decides whether it was worth it.
func Apply() []Phase {
	return append(Plan(),
		Lock{},
		Fetch{},
		Grant{},
		Backup{},
		Migrate{}, // only what the old version can live with
		Stop{},    // the service is away from here
		Checkpoint{},
		Swap{},
		Start{},
		Verify{}, // it runs, and nobody but us can reach it
		Open{},   // it is back
		Watch{},
		Commit{},
		Timers{}, // from now on it looks after itself
	)
}

// Plan is the beginning of Apply that changes nothing: what is there, what there is, and whether
// the host can take it.
func Plan() []Phase { return append(Check(), Preflight{}) }

// Check is the beginning of Plan: what is there, and what there is.
func Check() []Phase { return []Phase{Facts{}, Choose{}} }
