package community

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// Check reads everything in the record back and returns all differences, joined; nil means that
// nothing is missing or changed. It signs in anew with the old password; that the session opened
// before the upgrade still holds is one of the checks.
func (r *Record) Check(ctx context.Context, c *Client, say func(string)) error {
	if say == nil {
		say = func(string) {}
	}
	if err := c.SignIn(ctx, r.Admin.Name, r.Password); err != nil {
		return err
	}
	var all []error
	for _, step := range []struct {
		what string
		run  func(context.Context, *Client) error
	}{
		{"the session opened before", r.checkSession},
		{fmt.Sprintf("%d people", 1+len(r.Users)), r.checkPeople},
		{fmt.Sprintf("the team and its %d channels", len(r.Channels)), r.checkTeam},
		{fmt.Sprintf("%d posts, their answers and reactions", len(r.Posts)), r.checkPosts},
		{fmt.Sprintf("%d attachments, byte for byte", len(r.Files)), r.checkFiles},
		{"the custom emoji, byte for byte", r.checkEmoji},
		{"the changed setting", r.checkSetting},
	} {
		if err := step.run(ctx, c); err != nil {
			all = append(all, fmt.Errorf("%s: %w", step.what, err))
			continue
		}
		say(step.what)
	}
	return errors.Join(all...)
}

func (r *Record) checkSession(ctx context.Context, c *Client) error {
	old := &Client{URL: c.URL, HTTP: c.HTTP}
	old.Resume(r.Admin, r.Token)
	return old.call(ctx, http.MethodGet, "/users/me", nil, nil)
}

func (r *Record) checkPeople(ctx context.Context, c *Client) error {
	var all []error
	for _, want := range append([]User{r.Admin}, r.Users...) {
		var got User
		err := c.call(ctx, http.MethodGet, "/users/"+want.ID, nil, &got)
		all = append(all, differ("account "+want.Name, want, got, err))
		person := &Client{URL: c.URL, HTTP: c.HTTP}
		all = append(all, person.SignIn(ctx, want.Name, r.Password))
	}
	return errors.Join(all...)
}

func (r *Record) checkTeam(ctx context.Context, c *Client) error {
	var all []error
	var team Team
	err := c.call(ctx, http.MethodGet, "/teams/name/"+r.Team.Name, nil, &team)
	all = append(all, differ("team", r.Team, team, err))
	for _, want := range r.Channels {
		var got Channel
		err := c.call(ctx, http.MethodGet, "/channels/"+want.ID, nil, &got)
		all = append(all, differ("channel "+want.Name, want, got, err))
	}
	return errors.Join(all...)
}

func (r *Record) checkPosts(ctx context.Context, c *Client) error {
	var all []error
	for _, want := range r.Posts {
		var got Post
		if err := c.call(ctx, http.MethodGet, "/posts/"+want.ID, nil, &got); err != nil {
			all = append(all, err)
			continue
		}
		if got.Message != want.Message || got.Channel != want.Channel || got.Root != want.Root || !slices.Equal(got.Files, want.Files) {
			all = append(all, fmt.Errorf("post %s is %+v, was %+v", want.ID, got, want))
		}
		if want.Emoji == "" {
			continue
		}
		var reactions []struct {
			Name string `json:"emoji_name"`
		}
		if err := c.call(ctx, http.MethodGet, "/posts/"+want.ID+"/reactions", nil, &reactions); err != nil {
			all = append(all, err)
		} else if len(reactions) != 1 || reactions[0].Name != want.Emoji {
			all = append(all, fmt.Errorf("post %s has reactions %v, had %s", want.ID, reactions, want.Emoji))
		}
	}
	return errors.Join(all...)
}

func (r *Record) checkFiles(ctx context.Context, c *Client) error {
	var all []error
	for _, f := range r.Files {
		all = append(all, sameContent(ctx, c, f.Name, "/files/"+f.ID, f.SHA256))
	}
	return errors.Join(all...)
}

func (r *Record) checkEmoji(ctx context.Context, c *Client) error {
	var all []error
	for _, e := range r.Emoji {
		all = append(all, sameContent(ctx, c, e.Name, "/emoji/"+e.ID+"/image", e.SHA256))
	}
	return errors.Join(all...)
}

func (r *Record) checkSetting(ctx context.Context, c *Client) error {
	var config struct {
		TeamSettings struct{ CustomDescriptionText string }
	}
	err := c.call(ctx, http.MethodGet, "/config", nil, &config)
	return differ("TeamSettings.CustomDescriptionText", r.Motto, config.TeamSettings.CustomDescriptionText, err)
}

func sameContent(ctx context.Context, c *Client, name, path, want string) error {
	content, err := c.download(ctx, path)
	return differ("content of "+name+" (sha256)", want, sum(content), err)
}

// differ is nil when got, read without err, is what was wanted.
func differ[T comparable](what string, want, got T, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if got != want {
		return fmt.Errorf("%s is %+v, was %+v", what, got, want)
	}
	return nil
}
