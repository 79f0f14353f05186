package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"slices"
)

// curve is one line of the plot.
type curve struct {
	how, label, colour string
	right              int // how far below the line's end its label stands, in pixels
}

var curves = []curve{
	{byGuide, "the vendor's guide", "#b3261e", 0},
	{toOffline, "upgrade apply, migrations behind a checkpoint", "#b26a00", 0},
	{toMinor, "upgrade apply, migrations beside the users", "#1a56b0", -14},
	{toPatch, "upgrade apply, patch", "#0b7a3b", 2},
	{floor, "systemctl restart (the floor)", "#555555", 18},
}

// The plot's paper, in pixels, and its axes: posts and seconds, both logarithmic.
const (
	paperWide, paperHigh      = 860, 440
	left, right, top, bottom  = 70, 560, 50, 380
	leastPosts, mostPosts     = 8e3, 1.2e6
	leastSeconds, mostSeconds = 0.2, 100.0
	paper, grid, ink          = "#ffffff", "#dddddd", "#222222"
)

func across(posts float64) float64 {
	return left + (right-left)*math.Log(posts/leastPosts)/math.Log(mostPosts/leastPosts)
}

func up(seconds float64) float64 {
	return bottom - (bottom-top)*math.Log(seconds/leastSeconds)/math.Log(mostSeconds/leastSeconds)
}

// plot draws downtime against the database's size.
func (r *results) plot() []byte {
	var b bytes.Buffer
	text := func(x, y float64, anchor, colour, s string) {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, colour, html.EscapeString(s))
	}
	line := func(x1, y1, x2, y2 float64) {
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, grid)
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", paperWide, paperHigh)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="%s"/>`+"\n", paperWide, paperHigh, paper)
	text(left, 26, "start", ink, "Seconds without an answer through HTTPS, by the size of the community (medians)")
	for _, seconds := range []float64{0.2, 0.5, 1, 2, 5, 10, 20, 50, 100} {
		line(left, up(seconds), right, up(seconds))
		text(left-8, up(seconds)+4, "end", ink, fmt.Sprintf("%g s", seconds))
	}
	for _, s := range sizes {
		x := across(float64(s.posts))
		line(x, top, x, bottom)
		text(x, bottom+18, "middle", ink, s.name()+" posts")
		if all := r.of(toPatch, s.name()); len(all) > 0 {
			text(x, bottom+34, "middle", ink, fmt.Sprintf("%d MB + %.1f GB", all[0].DatabaseMB, float64(s.filesMB)/1000))
		}
	}
	text((left+right)/2, bottom+52, "middle", ink, "database + files")
	for _, c := range curves {
		var points [][2]float64
		for _, s := range sizes {
			if gap := median(gaps(r.of(c.how, s.name()))); gap > 0 {
				points = append(points, [2]float64{across(float64(s.posts)), up(gap.Seconds())})
			}
		}
		if len(points) == 0 {
			continue
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="`, c.colour)
		for _, p := range points {
			fmt.Fprintf(&b, "%.1f,%.1f ", p[0], p[1])
		}
		b.WriteString(`"/>` + "\n")
		for _, p := range points {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", p[0], p[1], c.colour)
		}
		last := slices.MaxFunc(points, func(x, y [2]float64) int { return int(x[0] - y[0]) })
		text(last[0]+10, last[1]+4+float64(c.right), "start", c.colour, c.label)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
