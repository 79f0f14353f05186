package mirror

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed client
var clientFiles embed.FS

// realServer is where a faulty release keeps the server that its bin/mattermost stands in front of.
const realServer = "bin/mattermost-server"

// layout lists what a release's archive contains, as the vendor's own release process puts it together. tool is the
// built server's directory; faulty, if not "", the program that takes the place of bin/mattermost.
func layout(tool, faulty string, r Release, e Edition) ([]file, error) {
	files := []file{
		{name: "logs/", mode: 0o755},
		{name: "prepackaged_plugins/", mode: 0o755},
		{name: "manifest.txt", mode: 0o644, text: fmt.Sprintf("mattermost %s %s\n", r.Code.Module, r.Code.Commit)},
	}
	server := file{name: "bin/mattermost", mode: 0o755, from: filepath.Join(tool, "bin", "mattermost")}
	if faulty != "" {
		files = append(files, file{name: "bin/mattermost", mode: 0o755, from: faulty})
		server.name = realServer
	}
	files = append(files, server)
	if r.Code.Mmctl {
		files = append(files, file{name: "bin/mmctl", mode: 0o755, from: filepath.Join(tool, "bin", "mmctl")})
	}
	shared, err := folder(filepath.Join(tool, "share"), "")
	if err != nil {
		return nil, err
	}
	present := map[string]bool{}
	for _, f := range shared {
		present[f.name] = true
		if f.name == "config/config.json" {
			if f, err = releaseConfig(f); err != nil {
				return nil, err
			}
		}
		files = append(files, f)
	}
	// The modules of newer servers are a part of the repository, without the files at its top.
	for name, text := range map[string]string{
		"NOTICE.txt":       "See MIT-COMPILED-LICENSE.md, and the licences of the modules that the server is built from.\n",
		"README.md":        "# Mattermost " + r.Number + " (" + string(e) + ")\n\nBuilt from Go modules for a local cloud.\n",
		"config/README.md": "config.json in this folder is the server's configuration.\n",
	} {
		if !present[name] {
			files = append(files, file{name: name, mode: 0o644, text: text})
		}
	}
	client, err := clientLayout()
	return append(files, client...), err
}

// releaseConfig resets the development settings in the generated config.json, as the vendor's release process does.
func releaseConfig(f file) (file, error) {
	text, err := os.ReadFile(f.from)
	if err != nil {
		return file{}, err
	}
	reset := strings.NewReplacer(
		`"ConsoleLevel": "DEBUG"`, `"ConsoleLevel": "INFO"`,
		`"SiteURL": "http://localhost:8065"`, `"SiteURL": ""`,
		`"SendEmailNotifications": true,`, `"SendEmailNotifications": false,`,
		`"FeedbackEmail": "test@example.com",`, `"FeedbackEmail": "",`,
		`"ReplyToAddress": "test@example.com",`, `"ReplyToAddress": "",`,
		`"SMTPServer": "localhost",`, `"SMTPServer": "",`,
		`"SMTPPort": "2500",`, `"SMTPPort": "",`,
	)
	return file{name: f.name, mode: 0o600, text: reset.Replace(string(text))}, nil
}

func clientLayout() ([]file, error) {
	var out []file
	err := fs.WalkDir(clientFiles, "client", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := clientFiles.ReadFile(name)
		out = append(out, file{name: name, mode: 0o644, text: string(text)})
		return err
	})
	return out, err
}
