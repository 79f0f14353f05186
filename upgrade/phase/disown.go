package phase

import (
	"fmt"

	"townsquare/upgrade/mattermost"
)

// disown is what makes an installation by a Debian package one by hand. The files are moved out of the
// way before the package goes, which would take them along; its unit is kept in the administrator's place.
func disown(f *mattermost.Installation, owner string) string {
	unit, own := f.Unit.Name, f.Dir+".own"
	return fmt.Sprintf(`sudo cp "$(systemctl show -P FragmentPath %[1]s)" /etc/systemd/system/%[1]s && sudo systemctl stop %[1]s && `+
		"sudo mv %[2]s %[3]s && sudo apt-get remove --yes %[4]s && sudo mv %[3]s %[2]s && sudo systemctl daemon-reload && "+
		"sudo systemctl enable --now %[1]s", unit, f.Dir, own, owner)
}
