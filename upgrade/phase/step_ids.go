package phase

// The IDs of all steps, unique within an operation. They are in the records of servers: an ID is never
// changed, and never given to another step. A step that embeds another has that one's ID, unless it is
// listed here.

func (Facts) ID() string      { return "facts" }
func (Choose) ID() string     { return "choose" }
func (Preflight) ID() string  { return "preflight" }
func (Lock) ID() string       { return "lock" }
func (Fetch) ID() string      { return "fetch" }
func (Grant) ID() string      { return "grant" }
func (Backup) ID() string     { return "backup" }
func (Migrate) ID() string    { return "migrate" }
func (Stop) ID() string       { return "stop" }
func (Checkpoint) ID() string { return "snapshot" }
func (Swap) ID() string       { return "switch" }
func (Start) ID() string      { return "start" }
func (Verify) ID() string     { return "verify" }
func (Open) ID() string       { return "resume-traffic" }
func (Watch) ID() string      { return "watch" }
func (Commit) ID() string     { return "finalize" }
func (Timers) ID() string     { return "timers" }

func (CheckTrial) ID() string { return "check-space" }
func (TryNew) ID() string     { return "rehearse" }

func (FindWays) ID() string  { return "find-ways" }
func (CheckBack) ID() string { return "preflight" }
func (LockBack) ID() string  { return "lock" }
func (TryBack) ID() string   { return "try" }
func (TakeBack) ID() string  { return "rollback-database" }

func (OSLook) ID() string      { return "look" }
func (OSPreflight) ID() string { return "preflight" }
func (OSLock) ID() string      { return "lock" }
func (OSRepair) ID() string    { return "repair-packages" }
func (OSDownload) ID() string  { return "download-packages" }
func (OSInstall) ID() string   { return "install-packages" }
func (OSDecide) ID() string    { return "decide-restarts" }
func (OSDatabase) ID() string  { return "restart-database" }
func (OSReboot) ID() string    { return "reboot" }
func (OSVerify) ID() string    { return "verify" }
func (OSCommit) ID() string    { return "finalize" }
func (OSProxy) ID() string     { return "restart-proxy" }
func (OSServices) ID() string  { return "restart-services" }

func (AllLook) ID() string      { return "look" }
func (AllPreflight) ID() string { return "preflight" }
func (AllDatabase) ID() string  { return "restart-database" }
func (AllReboot) ID() string    { return "reboot" }
func (AllFacts) ID() string     { return "facts-again" }
func (AllReview) ID() string    { return "review-system" }

func (backupReady) ID() string  { return "preflight" }
func (beginBackup) ID() string  { return "lock" }
func (makeBackup) ID() string   { return "backup" }
func (keepBackups) ID() string  { return "prune" }
func (pruneReady) ID() string   { return "preflight" }
func (pruneBackups) ID() string { return "prune" }
func (verifyReady) ID() string  { return "preflight" }
func (proveBackup) ID() string  { return "verify-backup" }

func (findBackup) ID() string    { return "find-backup" }
func (restoreReady) ID() string  { return "preflight" }
func (beginRestore) ID() string  { return "lock" }
func (reinstall) ID() string     { return "fetch" }
func (bringBack) ID() string     { return "restore" }
func (exchange) ID() string      { return "exchange" }
func (commitRestore) ID() string { return "finalize" }

func (Compare) ID() string        { return "compare" }
func (RepairLock) ID() string     { return "lock" }
func (RepairPackages) ID() string { return "packages" }
func (RepairFiles) ID() string    { return "files" }
func (RepairServices) ID() string { return "services" }
func (RepairSite) ID() string     { return "change-address" }
func (RepairProof) ID() string    { return "compare-again" }
