package wire

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for notation, want := range map[string]string{
		"i33":          `unknown type "i33"`,
		"[i32":         `"]" is missing`,
		"i32]":         `unknown type "]"`,
		"{i32]":        `unknown type "]"`,
		"<x i32>":      "the number of a tagged field",
		"<1 i32":       `">" is missing`,
		"? i32":        "? without {",
		"i32:x+":       `versions "x"`,
		"i32:1-y":      `versions "y"`,
		"[i32]:":       `versions ""`,
		"**":           `unknown type ""`,
		"(0 [i32 str)": `unknown type ")"`,
	} {
		_, err := Parse(notation, 0)
		require.ErrorContains(t, err, want, notation)
	}
	require.Panics(t, func() { MustParse("i33", 0) })
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	for name, tt := range map[string]struct {
		notation string
		flexible int16
		version  int16
		in       string
		want     string // part of the error; empty: none
		cost     int64
	}{
		"fixed":                     {"i8 bool i16 i32 i64 uuid", Never, 0, strings.Repeat("x", 32), "", 0},
		"too short":                 {"i32", Never, 0, "xxx", "4 bytes are needed, 3 are left", 0},
		"too long":                  {"i32", Never, 0, "xxxxx", "1 bytes too many", 0},
		"other versions' fields":    {"i32:1+ i8:-0 i16:1-2", Never, 3, "xxxx", "", 0},
		"string":                    {"str", Never, 0, "\x00\x02ab", "", 0},
		"null string":               {"str", Never, 0, "\xff\xff", "", 0},
		"string of -2":              {"str", Never, 0, "\xff\xfe", "-2 bytes are needed", 0},
		"string beyond the end":     {"str", Never, 0, "\x00\x03ab", "3 bytes are needed", 0},
		"compact string":            {"str", 0, 0, "\x03ab\x00", "", 0},
		"bytes":                     {"bytes", Never, 0, "\x00\x00\x00\x01a", "", 0},
		"bytes of 2 GiB":            {"bytes", Never, 0, "\x7f\xff\xff\xffa", "bytes are needed", 0},
		"array":                     {"[i16 str]", Never, 0, "\x00\x00\x00\x02xx\x00\x01axx\x00\x00", "", 2 * StructBytes},
		"null array":                {"[i16]", Never, 0, "\xff\xff\xff\xff", "", 0},
		"array of -2":               {"[i16]", Never, 0, "\xff\xff\xff\xfe", "an array of -2 elements", 0},
		"array of what is left":     {"[i16]", Never, 0, "\x00\x00\x00\x02xxx", "2 bytes are needed, 1 are left", 0},
		"array beyond the end":      {"[i16]", Never, 0, "\x00\x00\x00\x04xx", "an array of 4 elements in 2 bytes", 0},
		"compact array of 2^32-2":   {"[i16]", 0, 0, "\xff\xff\xff\xff\x0f", "an array of 4294967294 elements", 0},
		"array over the limit":      {"[bool]", Never, 0, "\x00\x00\x0f\xff" + strings.Repeat("x", 4095), "more than 1048576 bytes", 0},
		"list":                      {"*i32 *str", Never, 0, "\x00\x00\x00\x01xxxx\x00\x00\x00\x01\x00\x01a", "", 2 * ListBytes},
		"list cut short":            {"*i32", Never, 0, "\x00\x00\x00\x02xxxxxxx", "8 bytes are needed, 7 are left", 0},
		"struct":                    {"{i8 i8}", 0, 0, "xx\x00\x00", "", 0},
		"null struct":               {"?{i32}", 0, 0, "\xff\x00", "", 0},
		"struct that may be null":   {"?{i8}", 0, 0, "\x01x\x00\x00", "", StructBytes},
		"unknown tag":               {"i8", 0, 0, "x\x01\x05\x02ab", "", TagBytes},
		"tag count of 2^32-1":       {"i8", 0, 0, "x\xff\xff\xff\xff\x0f", "4294967295 tagged fields in 0 bytes", 0},
		"tag beyond the end":        {"i8", 0, 0, "x\x01\x05\x03ab", "3 bytes are needed", 0},
		"tagged struct":             {"i8 <0 i8>", 0, 0, "x\x01\x00\x02y\x00", "", TagBytes},
		"tag count inside a tag":    {"i8 <0 i8>", 0, 0, "x\x01\x00\x06y\xff\xff\xff\xff\x0f", "4294967295 tagged fields", 0},
		"tagged struct, too long":   {"i8 <0 i8>", 0, 0, "x\x01\x00\x03y\x00z", "1 bytes too many in the tagged field 0", 0},
		"tagged array":              {"i8 (2 [i8])", 0, 0, "x\x01\x02\x03\x02y\x00", "", TagBytes + StructBytes},
		"tagged array beyond":       {"i8 (2 [i8])", 0, 0, "x\x01\x02\x03\x09y\x00", "an array of 8 elements in 2 bytes", 0},
		"varint of six bytes":       {"str", 0, 0, "\x80\x80\x80\x80\x80\x00", "a varint is cut short or over 32 bits", 0},
		"varint of over 32 bits":    {"str", 0, 0, "\xff\xff\xff\xff\x1f", "a varint is cut short or over 32 bits", 0},
		"nothing":                   {"i8", 0, 0, "", "1 bytes are needed", 0},
		"the end before the tags":   {"i8", 0, 0, "x", "a varint is cut short", 0},
		"the first of two failures": {"[i16] [i16]", Never, 0, "\xff\xff\xff\xfe\xff\xff\xff\xfd", "an array of -2", 0},
	} {
		l := MustParse(tt.notation, tt.flexible)
		require.Equal(t, tt.version >= tt.flexible, l.Flexible(tt.version))
		cost, err := l.Check(tt.version, []byte(tt.in), limit)
		if tt.want == "" {
			require.NoError(t, err, name)
			require.Equal(t, tt.cost, cost, name)
			continue
		}
		require.ErrorIs(t, err, ErrMalformed, name)
		require.ErrorContains(t, err, tt.want, name)
	}
}

func TestSkipTags(t *testing.T) {
	t.Parallel()
	rest, err := SkipTags([]byte("\x02\x00\x01a\x07\x00rest"))
	require.NoError(t, err)
	require.Equal(t, "rest", string(rest))
	for _, b := range []string{"", "\xff\xff\xff\xff\x0f", "\x01\x00\x05a"} {
		_, err = SkipTags([]byte(b))
		require.ErrorIs(t, err, ErrMalformed)
	}
}

func FuzzCheck(f *testing.F) {
	l := MustParse("i16 [str *i32 ?{bytes} <0 i32> (1 *str)] bytes:1+", 1)
	f.Add(int16(0), []byte("\x00\x00\x00\x00\x00\x00"))
	f.Add(int16(1), []byte("\x00\x00\x02\x01\x01\xff\x01\x00\x05\x00\x00\x00\x00\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, version int16, b []byte) {
		cost, err := l.Check(version, b, 1<<16)
		if err == nil && cost > 1<<16 {
			t.Errorf("%d is over the limit", cost)
		}
		if got := testing.AllocsPerRun(1, func() { _, err = l.Check(version, b, 1<<16) }); err == nil && got > 0 {
			t.Errorf("a check took %v allocations", got)
		}
	})
}
