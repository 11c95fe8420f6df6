package leat

import (
	"errors"
	"strings"
	"testing"
)

func TestValidateTopicName(t *testing.T) {
	for _, tt := range []struct {
		name      string
		ok, newOK bool
	}{
		{"orders", true, true},
		{"a", true, true},
		{"A.b_c-9", true, true},
		{"...", true, true},
		{"-", true, true},
		{"_x", true, true},
		{"_", true, true},
		{strings.Repeat("x", 249), true, true},
		{"__consumer_offsets", true, false},
		{"__", true, false},
		{"", false, false},
		{".", false, false},
		{"..", false, false},
		{strings.Repeat("x", 250), false, false},
		{"a b", false, false},
		{"a/b", false, false},
		{"../x", false, false},
		{"a\x00", false, false},
		{"naïve", false, false},
		{"\xff", false, false},
		{"a,b", false, false},
	} {
		checkName(t, "topic", tt.name, validateTopicName(tt.name), tt.ok)
		checkName(t, "topic", tt.name, validateNewTopicName(tt.name), tt.newOK)
	}
}

func TestValidateGroupID(t *testing.T) {
	for _, tt := range []struct {
		id string
		ok bool
	}{
		{"billing", true},
		{"a group, with/any: ünïcödé", true},
		{".", true},
		{strings.Repeat("x", 32767), true},
		{"", false},
		{strings.Repeat("x", 32768), false},
		{"a\x00b", false},
		{"\xff", false},
	} {
		checkName(t, "group", tt.id, validateGroupID(tt.id), tt.ok)
	}
}

func checkName(t *testing.T, kind, name string, err error, ok bool) {
	t.Helper()
	if ok {
		if err != nil {
			t.Errorf("%.40q: %v", name, err)
		}
		return
	}
	var ne *InvalidNameError
	if !errors.As(err, &ne) || !errors.Is(err, ErrInvalidName) {
		t.Errorf("%.40q: got %v, want a *InvalidNameError that is ErrInvalidName", name, err)
		return
	}
	if ne.Kind != kind || ne.Name != name || ne.Rule == "" {
		t.Errorf("%.40q: got %+v, want the kind, the name and a rule", name, ne)
	}
	if len(err.Error()) > 400 {
		t.Errorf("%.40q: the message has %d bytes", name, len(err.Error()))
	}
}
