package community

import "time"

// Record is everything that Fill made, with what is needed to find it again. It holds passwords:
// keep it in a file of mode 0600.
type Record struct {
	URL      string    `json:"url"`
	Admin    User      `json:"admin"`
	Password string    `json:"password"` // of every user here
	Token    string    `json:"token"`    // of the admin's session
	Users    []User    `json:"users"`    // besides the admin
	Team     Team      `json:"team"`
	Channels []Channel `json:"channels"`
	Posts    []Post    `json:"posts"`
	Files    []File    `json:"files"`
	Emoji    []Emoji   `json:"emoji"`
	Motto    string    `json:"motto"` // TeamSettings.CustomDescriptionText of the configuration
}

// User is a person's account.
type User struct {
	ID    string `json:"id"`
	Name  string `json:"username"`
	Email string `json:"email"`
}

// Team is a team.
type Team struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Title string `json:"display_name"`
}

// Channel is a public ("O") or private ("P") channel.
type Channel struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Title string `json:"display_name"`
	Type  string `json:"type"`
}

// Post is one message; Root is the post it answers, if any.
type Post struct {
	ID      string   `json:"id"`
	Channel string   `json:"channel_id"`
	User    string   `json:"user_id"`
	Root    string   `json:"root_id,omitempty"`
	Message string   `json:"message"`
	Files   []string `json:"file_ids,omitempty"`
	Emoji   string   `json:"emoji,omitempty"` // the admin's reaction
}

// File is an attachment.
type File struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // of the content, in hex

	Taken time.Time `json:"-"` // when the server had acknowledged it; Writer's files only
}

// Emoji is a custom emoji.
type Emoji struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // of the image as the server gave it back right after the upload
}
