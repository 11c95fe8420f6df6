package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// timeFormat is RFC 3339 with the milliseconds that Kafka keeps.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// formatHelp tells of the verbs of recordFormat.
const formatHelp = `%t topic, %p partition, %o offset, %k key, %v value, %h headers (a=1,b=2), %T time,
%m time in ms since 1970, %K and %V length of key and value (-1 if null), %% a percent
sign; \n, \t, \r, \0, \\ and \xHH are characters`

// recordFormat writes records by a template. It is made by parseFormat.
type recordFormat []formatPart

// formatPart is text, and behind it a verb, 0 for none.
type formatPart struct {
	text string
	verb byte
}

func parseFormat(s string) (recordFormat, error) {
	var f recordFormat
	var text strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c == '%' || c == '\\') && i+1 == len(s) {
			return nil, fmt.Errorf("%q must not end in %c", s, c)
		}
		switch {
		case c == '%':
			i++
			switch verb := s[i]; {
			case verb == '%':
				text.WriteByte('%')
			case strings.IndexByte("tpokvhTmKV", verb) >= 0:
				f = append(f, formatPart{text.String(), verb})
				text.Reset()
			default:
				return nil, fmt.Errorf("%q has the unknown verb %%%c; there are\n%s", s, verb, formatHelp)
			}
		case c == '\\':
			i++
			n, err := unescape(s[i:], &text)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", s, err)
			}
			i += n - 1
		default:
			text.WriteByte(c)
		}
	}
	if text.Len() > 0 {
		f = append(f, formatPart{text.String(), 0})
	}
	return f, nil
}

// unescape writes the character that s, the text behind a backslash, begins with, and
// returns how long its name is.
func unescape(s string, to *strings.Builder) (n int, err error) {
	if i := strings.IndexByte(`ntr0\`, s[0]); i >= 0 {
		to.WriteByte("\n\t\r\x00\\"[i])
		return 1, nil
	}
	if s[0] == 'x' && len(s) >= 3 {
		if c, err := strconv.ParseUint(s[1:3], 16, 8); err == nil {
			to.WriteByte(byte(c))
			return 3, nil
		}
	}
	return 0, fmt.Errorf(`\%c must be one of \n, \t, \r, \0, \\ and \xHH`, s[0])
}

// unescaped returns s with its escapes as characters.
func unescaped(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		n, err := unescape(s[i+1:], &b)
		if err != nil {
			return "", err
		}
		i += n
	}
	return b.String(), nil
}

// appendTo appends a record.
func (f recordFormat) appendTo(b []byte, r *kgo.Record) []byte {
	for _, p := range f {
		b = append(b, p.text...)
		switch p.verb {
		case 't':
			b = append(b, r.Topic...)
		case 'p':
			b = strconv.AppendInt(b, int64(r.Partition), 10)
		case 'o':
			b = strconv.AppendInt(b, r.Offset, 10)
		case 'k':
			b = append(b, r.Key...)
		case 'v':
			b = append(b, r.Value...)
		case 'K':
			b = strconv.AppendInt(b, lengthOf(r.Key), 10)
		case 'V':
			b = strconv.AppendInt(b, lengthOf(r.Value), 10)
		case 'T':
			b = r.Timestamp.UTC().AppendFormat(b, timeFormat)
		case 'm':
			b = strconv.AppendInt(b, r.Timestamp.UnixMilli(), 10)
		case 'h':
			for i, h := range r.Headers {
				if i > 0 {
					b = append(b, ',')
				}
				b = append(append(append(b, h.Key...), '='), h.Value...)
			}
		}
	}
	return b
}

func lengthOf(b []byte) int64 {
	if b == nil {
		return -1
	}
	return int64(len(b))
}
