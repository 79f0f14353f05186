package community

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
)

// Fill makes a small community on a fresh server: the first account, which Mattermost makes the
// administrator; two more people; a team; a public and a private channel; posts with answers and
// reactions; a text and a picture as attachments; a custom emoji; and one changed setting. say,
// which may be nil, hears of each thing made.
func Fill(ctx context.Context, c *Client, say func(string)) (*Record, error) {
	if say == nil {
		say = func(string) {}
	}
	r := &Record{URL: c.URL, Password: "Tq1!" + rand.Text()}
	steps := []func(context.Context, *Client, *Record, func(string)) error{
		makePeople, makeTeam, makePosts, makeFiles, makeEmoji, changeSetting,
	}
	for _, step := range steps {
		if err := step(ctx, c, r, say); err != nil {
			return nil, err
		}
	}
	r.Token = c.Token()
	return r, nil
}

func makePeople(ctx context.Context, c *Client, r *Record, say func(string)) error {
	create := func(name string) (User, error) {
		var u User
		in := map[string]string{"username": name, "email": name + "@townsquare.test", "password": r.Password}
		if err := c.call(ctx, http.MethodPost, "/users", in, &u); err != nil {
			return u, fmt.Errorf("create account %s: %w", name, err)
		}
		return u, nil
	}
	var err error
	if r.Admin, err = create("admin"); err != nil {
		return err
	}
	if err := c.SignIn(ctx, r.Admin.Name, r.Password); err != nil {
		return err
	}
	for _, name := range []string{"ada", "grace"} {
		u, err := create(name)
		if err != nil {
			return err
		}
		r.Users = append(r.Users, u)
	}
	say("accounts: admin (administrator), ada, grace")
	return nil
}

func makeTeam(ctx context.Context, c *Client, r *Record, say func(string)) error {
	in := map[string]string{"name": "townsquare", "display_name": "Townsquare", "type": "O"}
	if err := c.call(ctx, http.MethodPost, "/teams", in, &r.Team); err != nil {
		return fmt.Errorf("create team: %w", err)
	}
	for _, u := range r.Users {
		in := map[string]string{"team_id": r.Team.ID, "user_id": u.ID}
		if err := c.call(ctx, http.MethodPost, "/teams/"+r.Team.ID+"/members", in, nil); err != nil {
			return fmt.Errorf("add %s to the team: %w", u.Name, err)
		}
	}
	for _, ch := range []Channel{
		{Name: "fountain", Title: "Fountain", Type: "O"},
		{Name: "council", Title: "Council", Type: "P"},
	} {
		in := map[string]string{"team_id": r.Team.ID, "name": ch.Name, "display_name": ch.Title, "type": ch.Type}
		if err := c.call(ctx, http.MethodPost, "/channels", in, &ch); err != nil {
			return fmt.Errorf("create channel %s: %w", ch.Name, err)
		}
		r.Channels = append(r.Channels, ch)
		in = map[string]string{"user_id": r.Users[0].ID}
		if err := c.call(ctx, http.MethodPost, "/channels/"+ch.ID+"/members", in, nil); err != nil {
			return fmt.Errorf("add %s to channel %s: %w", r.Users[0].Name, ch.Name, err)
		}
	}
	say("team Townsquare with the public channel Fountain and the private channel Council")
	return nil
}

func makePosts(ctx context.Context, c *Client, r *Record, say func(string)) error {
	ada := &Client{URL: c.URL, HTTP: c.HTTP}
	if err := ada.SignIn(ctx, r.Users[0].Name, r.Password); err != nil {
		return err
	}
	for _, ch := range r.Channels {
		for i := range 10 {
			p, err := ada.Post(ctx, Post{Channel: ch.ID, Message: fmt.Sprintf("Notice %d for the %s: café, 日本語, 🌳", i+1, ch.Title)})
			if err != nil {
				return err
			}
			answer, err := c.Post(ctx, Post{Channel: ch.ID, Root: p.ID, Message: fmt.Sprintf("Seen, thank you (%d)", i+1)})
			if err != nil {
				return err
			}
			p.Emoji = "+1"
			in := map[string]string{"user_id": r.Admin.ID, "post_id": p.ID, "emoji_name": p.Emoji}
			if err := c.call(ctx, http.MethodPost, "/reactions", in, nil); err != nil {
				return fmt.Errorf("react: %w", err)
			}
			r.Posts = append(r.Posts, p, answer)
		}
	}
	say(fmt.Sprintf("%d posts with answers and reactions", len(r.Posts)))
	return nil
}

// Post writes a message and gives it back with its id.
func (c *Client) Post(ctx context.Context, p Post) (Post, error) {
	var made Post
	if err := c.call(ctx, http.MethodPost, "/posts", p, &made); err != nil {
		return made, fmt.Errorf("post: %w", err)
	}
	return made, nil
}

func makeFiles(ctx context.Context, c *Client, r *Record, say func(string)) error {
	channel := r.Channels[0].ID
	picture, err := tile(256)
	if err != nil {
		return err
	}
	contents := map[string][]byte{
		"charter.txt": bytes.Repeat([]byte("The square belongs to everyone who walks on it.\n"), 20_000),
		"square.png":  picture,
	}
	post := Post{Channel: channel, Message: "The charter, and a picture of the square"}
	for _, name := range []string{"charter.txt", "square.png"} {
		f, err := c.attach(ctx, channel, name, contents[name])
		if err != nil {
			return err
		}
		r.Files = append(r.Files, f)
		post.Files = append(post.Files, f.ID)
	}
	made, err := c.Post(ctx, post)
	if err != nil {
		return err
	}
	r.Posts = append(r.Posts, made)
	say(fmt.Sprintf("attachments: charter.txt (%d kB), square.png", len(contents["charter.txt"])/1000))
	return nil
}

func (c *Client) attach(ctx context.Context, channel, name string, content []byte) (File, error) {
	var out struct {
		Infos []struct {
			ID string `json:"id"`
		} `json:"file_infos"`
	}
	if err := c.upload(ctx, "/files", map[string]string{"channel_id": channel}, "files", name, content, &out); err != nil {
		return File{}, fmt.Errorf("attach %s: %w", name, err)
	}
	if len(out.Infos) != 1 {
		return File{}, fmt.Errorf("attach %s: the answer names %d files, not 1", name, len(out.Infos))
	}
	return File{ID: out.Infos[0].ID, Name: name, SHA256: sum(content)}, nil
}

func makeEmoji(ctx context.Context, c *Client, r *Record, say func(string)) error {
	picture, err := tile(64)
	if err != nil {
		return err
	}
	about, err := json.Marshal(map[string]string{"name": "townsquare", "creator_id": r.Admin.ID})
	if err != nil {
		return err
	}
	var e Emoji
	if err := c.upload(ctx, "/emoji", map[string]string{"emoji": string(about)}, "image", "townsquare.png", picture, &e); err != nil {
		return fmt.Errorf("create emoji: %w", err)
	}
	content, err := c.download(ctx, "/emoji/"+e.ID+"/image")
	if err != nil {
		return fmt.Errorf("read emoji: %w", err)
	}
	e.SHA256 = sum(content)
	r.Emoji = append(r.Emoji, e)
	say("custom emoji :townsquare:")
	return nil
}

func changeSetting(ctx context.Context, c *Client, r *Record, say func(string)) error {
	r.Motto = "Everyone meets on the square"
	in := map[string]any{"TeamSettings": map[string]string{"CustomDescriptionText": r.Motto}}
	if err := c.call(ctx, http.MethodPut, "/config/patch", in, nil); err != nil {
		return fmt.Errorf("change the motto: %w", err)
	}
	say("a setting: the motto on the sign-in page")
	return nil
}

// tile draws a square of paving stones, side pixels wide.
func tile(side int) ([]byte, error) {
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			shade := uint8(170 + 60*((x*8/side+y*8/side)%2))
			img.SetRGBA(x, y, color.RGBA{shade, shade - 30, shade - 60, 255})
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}
