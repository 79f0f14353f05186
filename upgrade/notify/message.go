package notify

import (
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode"
)

// Message is one thing to say. As JSON it is what a webhook gets.
type Message struct {
	Event  string    `json:"event"` // found, announced, done, failed, test
	Title  string    `json:"title"`
	Text   string    `json:"text,omitempty"`
	Facts  []Fact    `json:"facts,omitempty"`
	Urgent bool      `json:"urgent"`
	Host   string    `json:"host"`
	Time   time.Time `json:"time"`

	// Key names what this is about. The same words about the same are said again only after a while;
	// a message without a key always is.
	Key string `json:"key,omitempty"`

	// Same is what of it must be the same for that, where not every word counts; empty: all of it.
	Same string `json:"-"`
}

// Fact is a row of the table.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// subject is the title with what makes people look up.
func (m Message) subject() string {
	if m.Urgent {
		return "URGENT: " + m.Title
	}
	return m.Title
}

// Plain is the message for the journal and for mail.
func (m Message) Plain() string {
	var b strings.Builder
	b.WriteString(m.subject() + "\n")
	if m.Text != "" {
		b.WriteString(m.Text + "\n")
	}
	width := 0
	for _, f := range m.Facts {
		width = max(width, len([]rune(f.Name)))
	}
	for _, f := range m.Facts {
		fmt.Fprintf(&b, "  %-*s  %s\n", width, f.Name, oneLine(f.Value))
	}
	return b.String()
}

// Markdown is the message for a channel of Mattermost.
func (m Message) Markdown() string {
	var b strings.Builder
	if m.Urgent {
		b.WriteString("@channel ")
	}
	b.WriteString("**" + cell(m.subject()) + "**\n")
	if m.Text != "" {
		b.WriteString("\n" + harmless(m.Text) + "\n")
	}
	if len(m.Facts) > 0 {
		b.WriteString("\n| | |\n|:--|:--|\n")
	}
	for _, f := range m.Facts {
		fmt.Fprintf(&b, "| %s | %s |\n", cell(f.Name), cell(f.Value))
	}
	return b.String()
}

// post is what Mattermost's incoming webhooks take.
// https://developers.mattermost.com/integrate/webhooks/incoming/
func (m Message) post() ([]byte, error) {
	return json.Marshal(map[string]string{"text": m.Markdown()})
}

// letter is the message as sendmail(8) -t takes it. RFC 3834 keeps others from answering it.
func (m Message) letter(to []string) string {
	head := []string{
		"To: " + strings.Join(to, ", "),
		"Subject: " + mime.QEncoding.Encode("utf-8", oneLine(m.Host+": "+m.subject())),
		"Date: " + m.Time.Format(time.RFC1123Z),
		"Auto-Submitted: auto-generated",
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=utf-8",
		"Content-Transfer-Encoding: 8bit",
	}
	if m.Urgent {
		head = append(head, "X-Priority: 1", "Importance: high")
	}
	return strings.Join(head, "\n") + "\n\n" + m.Plain()
}

// cell makes text fit for a table: one line, without a mark that ends the cell.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`).Replace(harmless(oneLine(s)))
}

// harmless takes from text, which may be another program's words, the power to call people.
func harmless(s string) string { return strings.ReplaceAll(s, "@", "@\u200b") }

// longest is how much of one fact is told; the whole is on the host.
const longest = 600

func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }), " ")
	if r := []rune(s); len(r) > longest {
		return string(r[:longest]) + " …"
	}
	return s
}
