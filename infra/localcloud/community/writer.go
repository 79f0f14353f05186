package community

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// KeepPosting writes a post every 100 ms until ctx ends and returns those that the server
// acknowledged: the promise that an upgrade must keep. A post that fails is not tried again.
func (c *Client) KeepPosting(ctx context.Context, channel string) []Post {
	var kept []Post
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 1; ; i++ {
		select {
		case <-ctx.Done():
			return kept
		case <-tick.C:
		}
		// Not ctx: a post that is on its way when the writer ends may be acknowledged.
		p, err := c.Post(context.WithoutCancel(ctx), Post{Channel: channel, Message: fmt.Sprintf("Written meanwhile, %d", i)})
		if err == nil {
			kept = append(kept, p)
		}
	}
}

// Has is nil when the post is there as it was written.
func (c *Client) Has(ctx context.Context, want Post) error {
	var got Post
	err := c.call(ctx, http.MethodGet, "/posts/"+want.ID, nil, &got)
	return differ("post "+want.ID, want.Message, got.Message, err)
}
