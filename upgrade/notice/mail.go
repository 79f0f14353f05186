package notice

import (
	"bytes"
	"encoding/base64"
	"errors"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"strings"
)

// isMail tells an e-mail from words: it begins with headers, and has one that every e-mail has.
func isMail(data []byte) bool {
	message, err := mail.ReadMessage(bytes.NewReader(postmark(data)))
	if err != nil {
		return false
	}
	for _, name := range []string{"From", "Subject", "Received", "Message-Id", "Content-Type"} {
		if message.Header.Get(name) != "" {
			return true
		}
	}
	return false
}

// postmark takes away the line that some programs put before the headers ("From x@y Sun Nov 22 …").
func postmark(data []byte) []byte {
	if bytes.HasPrefix(data, []byte("From ")) {
		if _, rest, ok := bytes.Cut(data, []byte("\n")); ok {
			return rest
		}
	}
	return data
}

// mail reads an e-mail: its subject, and every part that is text.
func (c *collector) mail(data []byte, depth int) error {
	message, err := mail.ReadMessage(bytes.NewReader(postmark(data)))
	if err != nil {
		return err
	}
	subject := message.Header.Get("Subject")
	if decoded, err := new(mime.WordDecoder).DecodeHeader(subject); err == nil {
		subject = decoded
	}
	c.text(subject)
	return c.part(textproto.MIMEHeader(message.Header), message.Body, depth)
}

// part reads one part. What is damaged is read as far as it goes: an e-mail that was cut off still
// has its subject.
func (c *collector) part(header textproto.MIMEHeader, body io.Reader, depth int) error {
	if c.parts++; depth > maxDepth || c.parts > maxParts {
		return errors.New("the e-mail has too many parts, or parts within parts")
	}
	if disposition, _, err := mime.ParseMediaType(header.Get("Content-Disposition")); err == nil && disposition == "attachment" {
		return nil
	}
	kind, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		kind = "text/plain" // which is what no header means
	}
	switch strings.ToLower(header.Get("Content-Transfer-Encoding")) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	switch {
	case strings.HasPrefix(kind, "multipart/"):
		parts := multipart.NewReader(body, parameters["boundary"])
		for {
			part, err := parts.NextPart()
			if err != nil {
				return nil
			}
			if err := c.part(part.Header, part, depth+1); err != nil {
				return err
			}
		}
	case kind == "message/rfc822": // forwarded
		inner, _ := io.ReadAll(body)
		_, err := c.read(inner, depth+1)
		if errors.Is(err, ErrEmpty) {
			err = nil
		}
		return err
	case kind == "text/html":
		words, _ := io.ReadAll(body)
		c.text(plain(string(words)))
	case strings.HasPrefix(kind, "text/"):
		words, _ := io.ReadAll(body)
		c.text(string(words))
	}
	return nil
}

var (
	unseen = regexp.MustCompile(`(?is)<(style|script|head)\b.*?</(style|script|head)>|<!--.*?-->`)
	tag    = regexp.MustCompile(`<[^>]*>`)
)

// plain takes the markup out of a page.
func plain(page string) string {
	return html.UnescapeString(tag.ReplaceAllString(unseen.ReplaceAllString(page, " "), " "))
}
