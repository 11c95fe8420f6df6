package wire

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Never is the first flexible version of an API that has none.
const Never = math.MaxInt16

// kind is the type of a field on the wire.
type kind uint8

const (
	kindFixed  kind = iota // size bytes
	kindString             // a short length, then bytes
	kindBytes              // a long length, then bytes
	kindArray              // of structs
	kindList               // of a plain type: fields has that one
	kindStruct
	kindNullable // a struct behind a byte that tells whether it is there
)

// field is a part of a message, in the versions [lo, hi].
type field struct {
	kind   kind
	size   int
	lo, hi int16
	body   body
}

func (f *field) in(version int16) bool { return version >= f.lo && version <= f.hi }

// body is the inside of a struct.
type body struct {
	fields []field
	tagged []taggedField // few: they are searched one after the other
}

// taggedField is a tagged field that has an inside of its own.
type taggedField struct {
	tag    uint32
	plain  bool // not a struct: no tagged fields at its end
	inside body
}

// Layout is the shape of an API's requests or responses.
type Layout struct {
	body     body
	flexible int16
}

// Flexible reports whether a version has compact types and tagged fields (KIP-482).
func (l *Layout) Flexible(version int16) bool { return version >= l.flexible }

// Parse reads the package's notation; flexible is the first flexible version. An
// error says what is not understood.
func Parse(notation string, flexible int16) (*Layout, error) {
	spaced := notation
	for _, s := range []string{"[", "]", "{", "}", "<", ">", "(", ")"} {
		spaced = strings.ReplaceAll(spaced, s, " "+s+" ")
	}
	p := parser{tokens: strings.Fields(spaced)}
	b := p.body("")
	if p.err != nil {
		return nil, fmt.Errorf("wire: layout %q: %w", notation, p.err)
	}
	return &Layout{body: b, flexible: flexible}, nil
}

// MustParse is Parse for a table in the source; it panics on an error.
func MustParse(notation string, flexible int16) *Layout {
	l, err := Parse(notation, flexible)
	if err != nil {
		panic(err)
	}
	return l
}

// parser goes over the tokens of a notation. The first error ends it.
type parser struct {
	tokens []string
	err    error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
	p.tokens = nil
}

// next returns the next token, "" behind the last.
func (p *parser) next() string {
	if len(p.tokens) == 0 {
		return ""
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

// body reads up to the token that closes it.
func (p *parser) body(closing string) (b body) {
	for p.err == nil {
		f := field{hi: math.MaxInt16}
		switch t := p.next(); t {
		case closing:
			return b
		case "":
			p.fail("%q is missing", closing)
		case "[":
			f.kind, f.body = kindArray, p.body("]")
			p.versions(&f)
			b.fields = append(b.fields, f)
		case "{":
			f.kind, f.body = kindStruct, p.body("}")
			p.versions(&f)
			b.fields = append(b.fields, f)
		case "?":
			if p.next() != "{" {
				p.fail("? without {")
			}
			f.kind, f.body = kindNullable, p.body("}")
			p.versions(&f)
			b.fields = append(b.fields, f)
		case "<", "(":
			tag, err := strconv.ParseUint(p.next(), 10, 32)
			if err != nil {
				p.fail("the number of a tagged field: %w", err)
			}
			tf := taggedField{tag: uint32(tag), plain: t == "("}
			tf.inside = p.body(map[bool]string{true: ")", false: ">"}[tf.plain])
			b.tagged = append(b.tagged, tf)
		default:
			b.fields = append(b.fields, p.plain(t))
		}
	}
	return b
}

// versions reads what stands behind a closing bracket.
func (p *parser) versions(f *field) {
	if len(p.tokens) > 0 && strings.HasPrefix(p.tokens[0], ":") {
		p.limit(f, p.next()[1:])
	}
}

// plain reads a field that is one token.
func (p *parser) plain(token string) field {
	f := field{hi: math.MaxInt16}
	name, versions, limited := strings.Cut(token, ":")
	if element, list := strings.CutPrefix(name, "*"); list {
		f.kind, f.body.fields = kindList, []field{p.plain(element)}
	} else {
		switch name {
		case "i8", "bool":
			f.size = 1
		case "i16":
			f.size = 2
		case "i32":
			f.size = 4
		case "i64":
			f.size = 8
		case "uuid":
			f.size = 16
		case "str":
			f.kind = kindString
		case "bytes":
			f.kind = kindBytes
		default:
			p.fail("unknown type %q", name)
		}
	}
	if limited {
		p.limit(&f, versions)
	}
	return f
}

// limit reads the versions of a field.
func (p *parser) limit(f *field, s string) {
	number := func(s string) int16 {
		n, err := strconv.ParseInt(s, 10, 16)
		if err != nil {
			p.fail("versions %q: %w", s, err)
		}
		return int16(n)
	}
	if from, ok := strings.CutSuffix(s, "+"); ok {
		f.lo = number(from)
		return
	}
	from, to, _ := strings.Cut(s, "-")
	if from != "" {
		f.lo = number(from)
	}
	f.hi = number(to)
}
