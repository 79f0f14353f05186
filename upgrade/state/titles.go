package state

// titled are the steps by the titles that earlier versions wrote in a record in place of their IDs.
var titled = map[string]string{
	"back up":                                          "backup",
	"back up the database":                             "backup",
	"bring packages and accounts":                      "packages",
	"check that it can be done":                        "preflight",
	"check that there is room to rehearse":             "check-space",
	"check the repository":                             "preflight",
	"choose a version":                                 "choose",
	"commit":                                           "finalize",
	"compare again":                                    "compare-again",
	"compare the server with its stack":                "compare",
	"download and unpack":                              "fetch",
	"download packages":                                "download-packages",
	"find the backup":                                  "find-backup",
	"find the ways back":                               "find-ways",
	"finish what dpkg left half done":                  "repair-packages",
	"install packages":                                 "install-packages",
	"keep a checkpoint":                                "snapshot",
	"keep what the newer version has":                  "snapshot",
	"let services know":                                "services",
	"lock the host":                                    "lock",
	"look at the host":                                 "facts",
	"look at the host again":                           "facts-again",
	"look at the system again":                         "review-system",
	"look for a version and for updates of the system": "look",
	"look for updates of the system":                   "look",
	"migrate the database":                             "migrate",
	"open to users":                                    "resume-traffic",
	"prepare the database":                             "grant",
	"put database and files in place":                  "exchange",
	"put files back":                                   "files",
	"rehearse on a copy":                               "rehearse",
	"remove older backups":                             "prune",
	"restart other services":                           "restart-services",
	"restart the database":                             "restart-database",
	"restart the database and the service":             "restart-database",
	"restart the host":                                 "reboot",
	"restart the proxy":                                "restart-proxy",
	"restore database and files":                       "restore",
	"restore it for a proof":                           "verify-backup",
	"see what must restart":                            "decide-restarts",
	"set the timers":                                   "timers",
	"start the new version":                            "start",
	"start the version before":                         "start",
	"stop the service":                                 "stop",
	"swap the versions":                                "switch",
	"take the database back":                           "rollback-database",
	"try the version before on a copy":                 "try",
	"verify":                                           "verify",
	"verify behind the gate":                           "verify",
	"watch":                                            "watch",
}

// upgradeSteps gives the run of an earlier version the ID of its step. A title that is not known stays,
// as an ID that no step has.
func upgradeSteps(s *State) {
	run := s.Run
	if run == nil || run.Step != "" || run.Phase == "" {
		return
	}
	run.Step, run.Phase = run.Phase, ""
	if id, ok := titled[run.Step]; ok {
		run.Step = id
	}
}
